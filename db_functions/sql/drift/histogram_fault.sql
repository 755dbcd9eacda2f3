create or replace function ml_internal.histogram_fault(h jsonb) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
    edges   double precision[];
    texts   text[];
    counts  double precision[];
    width   integer;
begin
    if jsonb_typeof(h) <> 'object' or jsonb_typeof(h -> 'counts') is distinct from 'array'
        or (h ? 'edges') = (h ? 'categories') then
        return 'it must be an object with counts and either edges or categories';
    end if;
    select array_agg(c::double precision) into counts
    from jsonb_array_elements_text(h -> 'counts') c;
    counts := coalesce(counts, '{}')
        || coalesce((h ->> 'nan')::double precision, (h ->> 'missing')::double precision, 0)
        || coalesce((h ->> 'infinite')::double precision, (h ->> 'unseen')::double precision, 0);
    if exists (select from unnest(counts) c
               where c is null or not (c >= 0 and c < 1e15) or c <> floor(c)) then
        return 'counts must be whole numbers of 0 or more';
    end if;
    if h ? 'edges' then
        select coalesce(array_agg(e::double precision order by n), '{}') into edges
        from jsonb_array_elements_text(h -> 'edges') with ordinality e (e, n);
        if exists (select from unnest(edges) e where e is null or not (abs(e) < 'Infinity')) then
            return 'edges must be finite numbers';
        end if;
        if edges <> (select coalesce(array_agg(distinct e order by e), '{}')
                     from unnest(edges) e) then
            return 'edges must rise';
        end if;
        width := cardinality(edges) + 1;
    else
        select coalesce(array_agg(c order by n), '{}') into texts
        from jsonb_array_elements_text(h -> 'categories') with ordinality c (c, n);
        if exists (select from unnest(texts) c where c is null)
           or cardinality(texts) <> (select count(distinct c) from unnest(texts) c) then
            return 'categories must be different texts';
        end if;
        width := cardinality(texts);
    end if;
    if width > 1000 then
        return format('it has %s bins; at most 1000 are kept', width);
    end if;
    if cardinality(counts) <> width + 2 then
        return format('it has %s counts for %s bins', cardinality(counts) - 2, width);
    end if;
    if (h ->> 'mean')::double precision is not null
            and not abs((h ->> 'mean')::double precision) < 'Infinity'
        or (h ->> 'deviation')::double precision is not null
            and not ((h ->> 'deviation')::double precision >= 0
                     and (h ->> 'deviation')::double precision < 'Infinity')
    then
        return 'mean and deviation must be finite numbers, or null';
    end if;
    return null;
exception when data_exception or wrong_object_type then
    return 'edges, counts, mean and deviation must be numbers';
end
$$;
comment on function ml_internal.histogram_fault(jsonb) is
    'Internal: what is wrong with a histogram of a drift baseline; null when nothing is';
