-- The work queue: one narrow row per inserted pattern, deleted in the transaction that scores it. The table is the
-- truth; the doorbell only saves waiting.
create table ml.queue (
    -- CACHE 1, so that ids are handed out in the order in which they are taken.
    id           bigint generated always as identity (cache 1) primary key,
    pattern_id   uuid not null,
    enqueued_at  timestamptz not null default clock_timestamp()
);
comment on table ml.queue is 'Patterns waiting for a score';
-- Rows live for milliseconds; vacuum has to follow them, not a share of a table that is mostly empty.
alter table ml.queue set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
                          autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 50000);

-- Muted until this moment, in epoch milliseconds. A sequence, since its value is read and set at once at any
-- isolation level and without locks.
create sequence ml.doorbell_muted_until minvalue 0 maxvalue 9223372036854775807 start 0;
comment on sequence ml.doorbell_muted_until is 'NOTIFY is not sent before this moment (epoch milliseconds)';

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
comment on table ml.failures is 'Dead letters: patterns whose scoring failed for a reason of their own';
create index failures_by_pattern on ml.failures (pattern_id);
