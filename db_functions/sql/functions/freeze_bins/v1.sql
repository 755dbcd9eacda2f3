-- Internal: makes the bins of a model from the drift baseline that was registered with it, and its first baseline.
create or replace function ml.freeze_bins(model integer) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    given      record;
    variable   record;
    fault      text;
    place      integer := 0;
    next_cell  integer := 0;
    counts     double precision[];
    cells      double precision[] := '{}';
    means      double precision[] := '{}';
    deviations double precision[] := '{}';
    most       double precision := 0;
    answers    jsonb;
    mass       double precision[];
begin
    select m.feature_names, m.drift_baseline as baseline into strict given from ml.models m where m.id = model;
    answers := coalesce(given.baseline #> '{outputs,ml_confidence}', given.baseline -> 'ml_confidence');
    for variable in
        select 'feature' as kind, f.name, given.baseline #> array['features', f.name] as h, f.n
        from unnest(given.feature_names) with ordinality f (name, n)
        union all
        select 'input', i.name, given.baseline #> array['inputs', i.name], 1000000 + i.n
        from unnest(array['pattern_type', 'timeframe']) with ordinality i (name, n)
        union all
        select 'output', o.name, case o.name when 'ml_confidence' then answers else given.baseline #> array['outputs', o.name] end, 2000000 + o.n
        from unnest(array['ml_confidence', 'prediction_class']) with ordinality o (name, n)
        order by 4
    loop
        continue when variable.h is null;
        fault := ml.histogram_fault(variable.h);
        if fault is not null then
            raise exception 'the drift baseline of % "%" cannot be used: %', variable.kind, variable.name, fault
                using errcode = 'ML005',
                      hint = 'Allowed: edges (rising numbers) or categories (different texts), counts (one more than edges, one a category), and nan and infinite, or missing and unseen.';
        end if;
        insert into ml.bins (model_id, position, kind, name, edges, categories, first_cell)
        values (model, place, variable.kind, variable.name,
                case when variable.h ? 'edges' then
                    (select coalesce(array_agg(e::double precision order by n), '{}')
                     from jsonb_array_elements_text(variable.h -> 'edges') with ordinality e (e, n)) end,
                case when variable.h ? 'categories' then
                    (select coalesce(array_agg(c order by n), '{}')
                     from jsonb_array_elements_text(variable.h -> 'categories') with ordinality c (c, n)) end,
                next_cell);
        select coalesce(array_agg(c::double precision order by n), '{}') into counts
        from jsonb_array_elements_text(variable.h -> 'counts') with ordinality c (c, n);
        counts := counts || coalesce((variable.h ->> 'nan')::double precision, (variable.h ->> 'missing')::double precision, 0)
                         || coalesce((variable.h ->> 'infinite')::double precision, (variable.h ->> 'unseen')::double precision, 0);
        cells := cells || counts;
        means := means || (variable.h ->> 'mean')::double precision;
        deviations := deviations || (variable.h ->> 'deviation')::double precision;
        most := greatest(most, (select sum(c) from unnest(counts) c));
        next_cell := next_cell + cardinality(counts);
        place := place + 1;
    end loop;

    select array_agg(e::double precision order by n) into mass
    from jsonb_array_elements_text(answers -> 'edges') with ordinality e (e, n);
    if coalesce(cardinality(mass), 0) = 0 then
        mass := '{0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9}';
    end if;
    update ml.models m
    set calibration_edges = mass,
        -- Every hundredth, and as many bins of equal mass as the baseline knows: scores crowd in a narrow range.
        score_edges = (select array_agg(distinct e order by e) from (
            select (i / 100.0)::double precision as e from generate_series(1, 99) i
            union all select unnest(mass)
            union all select q::double precision from jsonb_array_elements_text(answers -> 'quantiles') q) all_edges)
    where m.id = model;
    if most > 0 then
        insert into ml.baselines (model_id, source, rows, cells, means, deviations, set_by, reason)
        values (model, 'training', most, cells, means, deviations, session_user, 'registered with the model');
    end if;
    return place;
end
$$;
comment on function ml.freeze_bins(integer) is 'Internal: bins and first baseline of a model, from what was registered with it';

create or replace function ml.histogram_fault(h jsonb) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
    edges   double precision[];
    texts   text[];
    counts  double precision[];
    width   integer;
begin
    if jsonb_typeof(h) <> 'object' or jsonb_typeof(h -> 'counts') is distinct from 'array' or (h ? 'edges') = (h ? 'categories') then
        return 'it must be an object with counts and either edges or categories';
    end if;
    select array_agg(c::double precision) into counts from jsonb_array_elements_text(h -> 'counts') c;
    counts := coalesce(counts, '{}') || coalesce((h ->> 'nan')::double precision, (h ->> 'missing')::double precision, 0)
                                     || coalesce((h ->> 'infinite')::double precision, (h ->> 'unseen')::double precision, 0);
    if exists (select from unnest(counts) c where c is null or not (c >= 0 and c < 1e15) or c <> floor(c)) then
        return 'counts must be whole numbers of 0 or more';
    end if;
    if h ? 'edges' then
        select coalesce(array_agg(e::double precision order by n), '{}') into edges
        from jsonb_array_elements_text(h -> 'edges') with ordinality e (e, n);
        if exists (select from unnest(edges) e where e is null or not (abs(e) < 'Infinity')) then
            return 'edges must be finite numbers';
        end if;
        if edges <> (select coalesce(array_agg(distinct e order by e), '{}') from unnest(edges) e) then
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
    if (h ->> 'mean')::double precision is not null and not abs((h ->> 'mean')::double precision) < 'Infinity'
       or (h ->> 'deviation')::double precision is not null and not ((h ->> 'deviation')::double precision >= 0
           and (h ->> 'deviation')::double precision < 'Infinity') then
        return 'mean and deviation must be finite numbers, or null';
    end if;
    return null;
exception when data_exception or wrong_object_type then
    return 'edges, counts, mean and deviation must be numbers';
end
$$;
comment on function ml.histogram_fault(jsonb) is 'Internal: what is wrong with a histogram of a drift baseline; null when nothing is';
