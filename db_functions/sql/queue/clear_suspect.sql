create or replace function ml_internal.clear_suspect(queue_id bigint) returns void
language sql security definer set search_path = pg_catalog, pg_temp
as $$
    delete from ml_internal.suspects s where s.queue_id = clear_suspect.queue_id
$$;
comment on function ml_internal.clear_suspect(bigint) is
    'The process that scored the row alone is alive';
