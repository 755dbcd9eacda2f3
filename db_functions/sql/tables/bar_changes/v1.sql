-- An insert-only log of changed bars, for caches: rows of a series at or after since_ts may differ from what was read.
create table ml.bar_changes (
    id          bigint generated always as identity (cache 1) primary key,
    symbol      text,
    timeframe   text,
    since_ts    timestamptz,
    changed_at  timestamptz not null default clock_timestamp()
);
comment on table ml.bar_changes is 'Which series changed, from which bar on; all null means any may have';
