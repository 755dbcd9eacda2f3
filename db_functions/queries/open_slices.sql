-- The first slices of a job that have pages to do, those left out that are being worked on.
select p.slice as number, count(*) as open
from ml_internal.pages p
where p.job = %(job)s and p.done_at is null and p.slice <> all (%(beside)s::integer[])
group by p.slice order by p.slice
limit %(limit)s
