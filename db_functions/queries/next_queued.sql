-- The oldest row after a key that nobody has claimed yet, without claiming it.
select q.id from ml.queue q where q.id > %(after)s order by q.id limit 1
