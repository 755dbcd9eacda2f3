-- Changes that may not have been visible in the snapshot with xmin `seen`, and this snapshot's own
-- xmin.
select pg_snapshot_xmin(pg_current_snapshot())::text as xmin,
       coalesce((select array_agg(c.id) from ml_internal.bar_changes c
                 where c.xid >= %(seen)s::xid8), '{}') as known,
       coalesce((select jsonb_agg(jsonb_build_array(
                     c.symbol, c.timeframe,
                     floor(extract(epoch from least(greatest(c.since_ts, '0001-01-01Z'),
                                                    '9999-12-31Z')) * 1000000)::bigint)
                     order by c.id)
                 from ml_internal.bar_changes c
                 where c.xid >= %(seen)s::xid8 and c.id <> all (%(known)s::bigint[])),
           '[]') as changes
