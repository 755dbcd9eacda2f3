-- The oldest row between two ids that nobody has in hand, some aside; locked until the transaction
-- ends.
select q.id from ml.queue q
where q.id > %(after)s and q.id <= %(until)s and q.id <> all (%(but)s::bigint[])
order by q.id limit 1 for update skip locked
