-- An insert-only log of changed bars, for caches: rows of a series at or after since_ts may differ
-- from what was read. Ids become visible out of order, transaction ids tell how far: a reader that
-- saw a snapshot with a given xmin has everything below it, and asks next time for what is at or
-- above.
create table ml_internal.bar_changes (
    id          bigint generated always as identity (cache 1) primary key,
    symbol      text,
    timeframe   text,
    since_ts    timestamptz,
    xid         xid8 not null default pg_current_xact_id(),
    changed_at  timestamptz not null default clock_timestamp()
);
comment on table ml_internal.bar_changes is
    'Which series changed, from which bar on; all null means any may have';
create index bar_changes_by_xid on ml_internal.bar_changes (xid);
