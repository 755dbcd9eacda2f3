create or replace function ml_internal.bury_workers(host text, pids integer[], worker bigint)
    returns integer
language sql security definer set search_path = pg_catalog, pg_temp
as $$
    with buried as (
        update ml.workers w set stopped_at = clock_timestamp()
        where w.host = bury_workers.host and w.pid = any (pids) and w.id <> worker
          and w.stopped_at is null
        returning 1
    )
    select count(*)::integer from buried
$$;
comment on function ml_internal.bury_workers(text, integer[], bigint) is
    'Closes the records of processes of a host that ended without goodbye; returns how many';
