-- A transaction number of our own: every transaction that had one before has a lower one.
select pg_current_xact_id()::text::bigint as xid
