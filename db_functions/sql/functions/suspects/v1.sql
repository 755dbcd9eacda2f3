create or replace function ml.mark_suspect(queue_id bigint) returns integer
language sql security definer set search_path = pg_catalog, pg_temp
as $$
    insert into ml.suspects as s (queue_id) values (queue_id)
    on conflict on constraint suspects_pkey do update set attempts = s.attempts + 1, marked_at = clock_timestamp()
    returning s.attempts
$$;
comment on function ml.mark_suspect(bigint) is 'Notes that a queue row is about to be scored alone; returns how often it has been';

create or replace function ml.clear_suspect(queue_id bigint) returns void
language sql security definer set search_path = pg_catalog, pg_temp
as $$
    delete from ml.suspects s where s.queue_id = clear_suspect.queue_id
$$;
comment on function ml.clear_suspect(bigint) is 'Whoever scored the row alone lives';

create or replace function ml.bury_workers(host text, pids integer[], worker bigint) returns integer
language sql security definer set search_path = pg_catalog, pg_temp
as $$
    with buried as (
        update ml.workers w set stopped_at = clock_timestamp()
        where w.host = bury_workers.host and w.pid = any (pids) and w.id <> worker and w.stopped_at is null
        returning 1
    )
    select count(*)::integer from buried
$$;
comment on function ml.bury_workers(text, integer[], bigint) is
    'Closes the records of processes of a host that ended without goodbye; returns how many';
