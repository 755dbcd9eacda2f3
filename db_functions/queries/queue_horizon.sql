-- The number below which every transaction has ended, and the lowest id still queued above a mark;
-- without locks.
select pg_snapshot_xmin(pg_current_snapshot())::text::bigint as xmin,
       (select q.id from ml.queue q where q.id > %(after)s order by q.id limit 1) as lowest_id
