create or replace function ml.alerts_json() returns jsonb
language sql stable set search_path = pg_catalog, pg_temp
set jit = off
as $$
    select jsonb_build_object(
        'alerts', coalesce(jsonb_agg(to_jsonb(a) order by a.level = 'critical' desc, a.since),
                           '[]'),
        'count', count(*), 'timestamp', clock_timestamp())
    from ml.alerts a
$$;
comment on function ml.alerts_json() is 'ml.alerts as JSON, the critical ones first';
