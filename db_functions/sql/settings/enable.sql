create or replace function ml.enable(reason text) returns void
language sql security definer set search_path = pg_catalog, pg_temp
as $$
    select ml_internal.change_setting('enabled', 'true', reason, 'sql')
$$;
comment on function ml.enable(text) is
    'Lets ML change the effective confidence again, from the next row on';
