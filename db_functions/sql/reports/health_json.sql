-- What the HTTP endpoints answer, for whoever asks in SQL or through PostgREST: the views, as one
-- JSON value each.
create or replace function ml.health_json() returns jsonb
language sql stable set search_path = pg_catalog, pg_temp
set jit = off
as $$
    select to_jsonb(h) || jsonb_build_object('phase5_enabled', h.ml_enabled) from ml.health h
$$;
comment on function ml.health_json() is
    'ml.health as JSON; phase5_enabled is the earlier system''s name of ml_enabled';
