create function ml.mute_doorbell(milliseconds integer) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    -- The lock orders this against ml.set('doorbell', 'off', ...): once that has committed, nothing rings again.
    perform from ml.settings where doorbell = 'on' for share;
    if found then
        perform setval('ml.doorbell_muted_until',
                       greatest(0, (extract(epoch from clock_timestamp()) * 1000)::bigint + milliseconds));
    end if;
    return found;
end
$$;
comment on function ml.mute_doorbell(integer) is
    'An awake worker asks not to be rung for so long; 0 and below: ring again. False while the doorbell is off';
