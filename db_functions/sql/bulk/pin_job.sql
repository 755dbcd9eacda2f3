create function ml_internal.pin_job(job uuid, models integer[], bits text) returns void
language sql security definer set search_path = pg_catalog, pg_temp
as $$
    update ml_internal.jobs j set models = pin_job.models, bits = pin_job.bits where j.id = job
$$;
comment on function ml_internal.pin_job(uuid, integer[], text) is
    'Says with which models a job goes on, and in which bits they answer';
