-- Processes of this host that have not said goodbye, this one aside.
select distinct w.pid from ml.workers w
where w.host = %(host)s and w.id <> %(worker)s and w.stopped_at is null
