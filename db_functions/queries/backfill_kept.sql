-- How many rows of a job keep the score that they had before it.
select count(*) from ml_internal.jobs j
join ml_internal.pages g on g.job = j.id and g.done_at is not null
cross join unnest(g.ids) i (id)
join public.pattern_events p on p.id = i.id
where j.id = %(job)s and p.scored_at < j.started_at
