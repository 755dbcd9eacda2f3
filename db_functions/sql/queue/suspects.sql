-- Rows that a worker on probation is about to score alone: a mark that outlives the process, unlike
-- a row lock.
create table ml_internal.suspects (
    queue_id   bigint primary key,
    attempts   integer not null default 1,
    marked_at  timestamptz not null default clock_timestamp()
);
comment on table ml_internal.suspects is
    'Queue rows that were being scored alone when a worker last wrote here, and how often';
