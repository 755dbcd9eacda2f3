-- What changed since the snapshot `seen`: entries of transactions that began after it, and of those
-- that ran at its time, one by one. Also this snapshot, how far the log has been pruned, and the
-- mark of the tables that hold bars.
select pg_current_snapshot()::text as snapshot,
       (select h.turn from ml_internal.bar_horizon h) as turn,
       (select concat_ws(',', pg_postmaster_start_time(), string_agg(b.mark, ',' order by b.oid))
        from ml_internal.bar_tables b) as mark,
       coalesce((
           select jsonb_agg(jsonb_build_array(
                      s.symbol, s.timeframe,
                      floor(extract(epoch from least(greatest(s.since_ts, '0001-01-01Z'),
                                                     '9999-12-31Z')) * 1000000)::bigint))
           from (select distinct on (c.symbol, c.timeframe) c.*
                 from (select b.symbol, b.timeframe, b.since_ts from ml_internal.bar_changes b
                       where b.xid >= pg_snapshot_xmax(%(seen)s::pg_snapshot)
                         -- Later ones are of another cluster, out of a dump.
                         and b.xid <= greatest(pg_snapshot_xmax(pg_current_snapshot()),
                                               pg_current_xact_id_if_assigned())
                       union all
                       select n.* from pg_snapshot_xip(%(seen)s::pg_snapshot) x (xid)
                       cross join lateral (
                           select b.symbol, b.timeframe, b.since_ts from ml_internal.bar_changes b
                           where b.xid = x.xid
                           -- A probe each: a join could read the whole log.
                           offset 0) n) c
                 order by c.symbol, c.timeframe, c.since_ts) s), '[]') as changes
