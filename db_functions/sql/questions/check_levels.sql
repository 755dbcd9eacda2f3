create function ml_internal.check_levels(options jsonb) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
    field   text;
    prices  jsonb;
begin
    for field, prices in
        select o.key, o.value from jsonb_each(options) o where o.value <> 'null'
    loop
        if jsonb_typeof(prices) <> 'array' or jsonb_array_length(prices) not between 1 and 64
           or exists (select from jsonb_array_elements(prices) p
                      where case when jsonb_typeof(p) = 'number'
                                 then p::numeric not between 1e-12 and 1e15 else true end) then
            raise exception '% must be 1 to 64 prices above 0', field
                using errcode = 'invalid_parameter_value', column = field;
        end if;
    end loop;
end
$$;
comment on function ml_internal.check_levels(jsonb) is
    'Internal: refuses targets and stops of a surface that are no prices';
