-- Which transactions with a number below `below` still run, anywhere in the cluster, and the lowest
-- id queued above a mark; of one snapshot, without locks.
select array(select x::text::bigint from pg_snapshot_xip(pg_current_snapshot()) x
             where x < %(below)s::text::xid8) as running,
       (select q.id from ml.queue q where q.id > %(after)s order by q.id limit 1) as lowest_id
