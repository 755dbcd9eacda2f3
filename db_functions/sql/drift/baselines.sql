create table ml_internal.baselines (
    id         bigint generated always as identity primary key,
    model_id   integer not null references ml.models,
    source     text not null check (source in ('training', 'window')),
    since      timestamptz,
    until      timestamptz,
    rows       bigint not null check (rows > 0),
    cells      double precision[] not null,
    means      double precision[] not null,
    deviations double precision[] not null,
    set_at     timestamptz not null default clock_timestamp(),
    set_by     text not null,
    reason     text not null
);
comment on table ml_internal.baselines is
    'What drift is measured against: counts in a model''s cells; the newest of a model holds';
comment on column ml_internal.baselines.means is
    'of the finite values of each variable, by position; null for categories';
create index baselines_by_model on ml_internal.baselines (model_id, id);
