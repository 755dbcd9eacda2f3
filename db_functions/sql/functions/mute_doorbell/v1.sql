create or replace function ml.mute_doorbell(milliseconds integer) returns void
language sql security definer set search_path = pg_catalog, pg_temp
as $$
    select setval('ml.doorbell_muted_until',
                  greatest(0, (extract(epoch from clock_timestamp()) * 1000)::bigint + milliseconds))
$$;
comment on function ml.mute_doorbell(integer) is
    'An awake worker asks not to be rung for so many milliseconds; below 0: ring again';
