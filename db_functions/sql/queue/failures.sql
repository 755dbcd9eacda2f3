create table ml.failures (
    id              bigint generated always as identity primary key,
    pattern_id      uuid not null,
    model_id        integer references ml.models,
    error           text not null,
    attempts        integer not null check (attempts > 0),
    input_snapshot  jsonb not null,
    failed_at       timestamptz not null default clock_timestamp(),
    redriven_at     timestamptz
);
comment on table ml.failures is
    'Dead letters: patterns whose scoring failed for a reason of their own';
-- ml.health counts them; there are few.
create index failures_open on ml.failures (id) where redriven_at is null;
