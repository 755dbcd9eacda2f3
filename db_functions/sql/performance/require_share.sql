create function ml_internal.require_share(name text, given double precision) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
    -- NaN sorts above every number, so this refuses it too.
    if not (given between 0 and 1) then
        raise exception '% cannot be %; allowed: 0 to 1, or null for the setting as it is now',
            name, given
            using errcode = 'invalid_parameter_value';
    end if;
end
$$;
comment on function ml_internal.require_share(text, double precision) is
    'Internal: refuses a threshold or weight outside 0 to 1';
