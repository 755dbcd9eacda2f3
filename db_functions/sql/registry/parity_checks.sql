create table ml.parity_checks (
    id            bigint generated always as identity primary key,
    model_id      integer not null references ml.models,
    max_abs_diff  double precision not null,
    tolerance     double precision not null,
    rows          integer not null,
    passed        boolean not null
        generated always as (max_abs_diff <= tolerance and rows > 0) stored,
    runtime       text not null,
    checked_by    text not null,
    by_publisher  boolean not null,
    checked_at    timestamptz not null default clock_timestamp()
);
comment on table ml.parity_checks is
    'Replays of golden rows through ONNX Runtime, at registration and by workers';
create index parity_checks_by_model on ml.parity_checks (model_id, checked_at);
