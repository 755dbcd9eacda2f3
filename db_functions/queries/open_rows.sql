-- How many rows of a job are to be done.
select coalesce(sum(p.rows), 0)::bigint from ml_internal.pages p
where p.job = %(job)s and p.done_at is null
