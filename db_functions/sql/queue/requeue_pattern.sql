-- An application that changes the id of a pattern leaves a queue row behind that finds nothing.
create function ml_internal.requeue_pattern() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    insert into ml.queue (pattern_id) values (new.id);
    return null;
end
$$;
comment on function ml_internal.requeue_pattern() is
    'Queues a pattern without a score under the id that it was given';
