create or replace function ml_internal.enqueue_patterns() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    insert into ml.queue (pattern_id) select id from inserted;
    -- A transaction that notifies commits alone and cannot be prepared, so ring only when no worker
    -- has said that it is awake and the doorbell is on. The setting is read last: most statements
    -- never come that far.
    if found
       and (select last_value
            from ml_internal.doorbell_muted_until) < extract(epoch from clock_timestamp()) * 1000
       and (select doorbell = 'on' from ml.settings) then
        perform ml_internal.ring();
    end if;
    return null;
end
$$;
comment on function ml_internal.enqueue_patterns() is
    'Queues the rows of one INSERT and rings the doorbell when a worker sleeps';
