create or replace function ml.disable(reason text) returns void
language sql security definer set search_path = pg_catalog, pg_temp
as $$
    select ml_internal.change_setting('enabled', 'false', reason, 'sql')
$$;
comment on function ml.disable(text) is
    'From the next row on the rule confidence stands; rows '
    'are still scored and logged, only not blended';
