create or replace function ml_internal.enqueue_patterns() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    insert into ml.queue (pattern_id) select id from inserted;
    -- A transaction that notifies commits alone and cannot be prepared, so ring only when no worker
    -- has said that it is awake and the doorbell is on. Nobody mutes it for as long as 10 s, so one
    -- that seems to be muted for longer was muted before the clock was set back: it is muted when
    -- 0 to 10,000 ms are left. Most statements end with this condition, so it runs no query.
    if found and abs(coalesce(pg_sequence_last_value('ml_internal.doorbell_muted_until'), 0)
                     - date_part('epoch', clock_timestamp()) * 1000 - 5000) > 5000 then
        if (select doorbell = 'on' from ml.settings) then
            perform ml_internal.ring();
        end if;
    end if;
    return null;
end
$$;
comment on function ml_internal.enqueue_patterns() is
    'Queues the rows of one INSERT and rings the doorbell when a worker sleeps';
