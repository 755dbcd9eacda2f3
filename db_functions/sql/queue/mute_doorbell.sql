create or replace function ml_internal.mute_doorbell(milliseconds integer) returns void
language sql security definer set search_path = pg_catalog, pg_temp
as $$
    select setval('ml_internal.doorbell_muted_until',
                  greatest(0, (extract(epoch from clock_timestamp()) * 1000)::bigint
                           + milliseconds))
$$;
comment on function ml_internal.mute_doorbell(integer) is
    'An awake worker asks not to be rung for so many milliseconds; below 0: ring again';
