-- An insert-only log of changed bars, for caches: rows of a series at or after since_ts may differ
-- from what was read. Numbers and moments become visible out of order, so a reader keeps its last
-- snapshot and asks for what that did not show.
create table ml_internal.bar_changes (
    symbol      text not null,
    timeframe   text not null,
    since_ts    timestamptz not null,
    xid         xid8 not null default pg_current_xact_id()
);
comment on table ml_internal.bar_changes is
    'Which series of price_bars changed, and from which bar on';
create index bar_changes_by_xid on ml_internal.bar_changes (xid);
