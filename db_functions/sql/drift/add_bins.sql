-- Internal: makes the bins of a model from histograms, and gives what they hold in the form of
-- ml_internal.baselines.
create or replace function ml_internal.add_bins(
    model integer, histograms jsonb, out variables integer, out rows bigint,
    out cells double precision[],
    out means double precision[], out deviations double precision[])
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    variable  record;
    fault     text;
    counts    double precision[];
begin
    variables := 0;
    rows := 0;
    cells := '{}';
    means := '{}';
    deviations := '{}';
    for variable in
        select 'feature' as kind, f.name, histograms #> array['features', f.name] as h, f.n
        from ml.models m cross join unnest(m.feature_names) with ordinality f (name, n)
        where m.id = model
        union all
        select 'input', i.name, histograms #> array['inputs', i.name], 1000000 + i.n
        from unnest(array['pattern_type', 'timeframe']) with ordinality i (name, n)
        union all
        select 'output', o.name, histograms #> array['outputs', o.name], 2000000 + o.n
        from unnest(array['ml_confidence', 'prediction_class']) with ordinality o (name, n)
        order by 4
    loop
        continue when variable.h is null;
        fault := ml_internal.histogram_fault(variable.h);
        if fault is not null then
            raise exception 'the drift baseline of % "%" cannot be used: %', variable.kind,
                variable.name, fault
                using errcode = 'ML005',
                      hint = 'Allowed: edges (rising numbers) or categories (different texts), '
                             'counts (one more than edges, one a category), and '
                             'nan and infinite, or missing and unseen.';
        end if;
        insert into ml_internal.bins (model_id, position, kind, name, edges, categories, first_cell)
        values (model, variables, variable.kind, variable.name,
                case when variable.h ? 'edges' then
                    (select coalesce(array_agg(e::double precision order by n), '{}')
                     from jsonb_array_elements_text(variable.h -> 'edges') with ordinality e (e, n))
                     end,
                case when variable.h ? 'categories' then
                    (select coalesce(array_agg(c order by n), '{}')
                     from jsonb_array_elements_text(
                         variable.h -> 'categories') with ordinality c (c, n)) end,
                cardinality(cells));
        select coalesce(array_agg(c::double precision order by n), '{}') into counts
        from jsonb_array_elements_text(variable.h -> 'counts') with ordinality c (c, n);
        counts := counts || coalesce((variable.h ->> 'nan')::double precision,
                                     (variable.h ->> 'missing')::double precision, 0)
                         || coalesce((variable.h ->> 'infinite')::double precision,
                                     (variable.h ->> 'unseen')::double precision, 0);
        cells := cells || counts;
        means := means || (variable.h ->> 'mean')::double precision;
        deviations := deviations || (variable.h ->> 'deviation')::double precision;
        rows := greatest(rows, (select sum(c) from unnest(counts) c));
        variables := variables + 1;
    end loop;
end
$$;
comment on function ml_internal.add_bins(integer, jsonb) is
    'Internal: freezes the bins of a model, and counts what its histograms hold';
