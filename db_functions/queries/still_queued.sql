-- Of rows that have just been written, those that stay in the queue: somebody else has their patterns locked.
select id from ml.queue where id = any (%(queue_ids)s::bigint[])
