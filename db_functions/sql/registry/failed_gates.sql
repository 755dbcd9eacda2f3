create or replace function ml_internal.failed_gates(version text) returns text[]
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    select coalesce(array_agg(g.gate || ': ' || g.found), '{}') from ml.gates(version) g
    where not g.passed
$$;
comment on function ml_internal.failed_gates(text) is
    'Internal: the gates that a model does not pass, in words';
