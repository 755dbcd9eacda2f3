create function ml_internal.finish_job(job uuid) returns void
language sql security definer set search_path = pg_catalog, pg_temp
as $$
    update ml_internal.jobs j set finished_at = clock_timestamp() where j.id = job;
    delete from ml_internal.pages p where p.job = finish_job.job;
$$;
comment on function ml_internal.finish_job(uuid) is 'Ends a job; its pages go';
