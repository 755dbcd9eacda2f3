-- Which transactions with a number below `below` still run, anywhere in the cluster, and the lowest
-- id queued above a mark; of one snapshot, without locks. With `prove` a proof begins: the highest
-- id handed out so far, committed or not, and then a transaction number of our own.
with issued as materialized (  -- read, and copied, before the number is taken
    select case when is_called then last_value else last_value - 1 end as id from ml.queue_id_seq)
select i.id as issued,
       case when %(prove)s then pg_current_xact_id()::text::bigint end as xid,
       array(select x::text::bigint from pg_snapshot_xip(pg_current_snapshot()) x
             where x < %(below)s::text::xid8) as running,
       (select q.id from ml.queue q where q.id > %(after)s order by q.id limit 1) as lowest_id
from issued i
