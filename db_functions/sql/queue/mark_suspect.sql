create or replace function ml_internal.mark_suspect(queue_id bigint) returns integer
language sql security definer set search_path = pg_catalog, pg_temp
as $$
    insert into ml_internal.suspects as s (queue_id) values (queue_id)
    on conflict on constraint suspects_pkey do update
        set attempts = s.attempts + 1, marked_at = clock_timestamp()
    returning s.attempts
$$;
comment on function ml_internal.mark_suspect(bigint) is
    'Notes that a queue row is about to be scored alone; returns how often it has been';
