-- Bulk work over patterns of the past. What is done is what ml_internal.pages says: a process that
-- works a page off writes its rows and its entry there in one transaction.
create table ml_internal.jobs (
    id           uuid primary key default gen_random_uuid(),
    kind         text not null check (kind in ('backfill', 'replay')),
    selection    jsonb not null,
    models       integer[],
    bits         text,
    started_at   timestamptz not null default clock_timestamp(),
    finished_at  timestamptz
);
comment on table ml_internal.jobs is 'One row a backfill or replay that was planned in pages';
comment on column ml_internal.jobs.selection is 'which rows were asked for';
comment on column ml_internal.jobs.models is 'the models that every process must have loaded';
comment on column ml_internal.jobs.bits is
    'SHA-256 of their answers to golden rows; a process that answers in other bits is refused';
-- The same work asked for twice is the same job, until it is finished.
create unique index jobs_unfinished on ml_internal.jobs (kind, selection)
    where finished_at is null;
