-- The work queue: one narrow row per inserted pattern, deleted in the transaction that scores it.
-- The table is the truth; the doorbell only saves waiting.
create table ml.queue (
    -- CACHE 1, so that ids are handed out in the order in which they are taken.
    id           bigint generated always as identity (cache 1) primary key,
    pattern_id   uuid not null,
    enqueued_at  timestamptz not null default clock_timestamp()
)
-- Rows live for milliseconds; vacuum has to follow them, not a share of a table that is mostly
-- empty.
with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
      autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 50000);
comment on table ml.queue is 'Patterns waiting for a score';
