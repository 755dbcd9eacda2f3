-- Internal: makes the bins of a model from the drift baseline that was registered with it, and its
-- first baseline.
create or replace function ml_internal.freeze_bins(model integer) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    given    jsonb;
    answers  jsonb;
    mass     double precision[];
    frozen   record;
begin
    select coalesce(m.drift_baseline, '{}') into strict given from ml.models m where m.id = model;
    answers := coalesce(given #> '{outputs,ml_confidence}', given -> 'ml_confidence');
    if answers is not null then
        given := given || jsonb_build_object('outputs',
                                             coalesce(given -> 'outputs', '{}')
                                                 || jsonb_build_object('ml_confidence', answers));
    end if;
    select b.* into strict frozen from ml_internal.add_bins(model, given) b;

    select array_agg(e::double precision order by n) into mass
    from jsonb_array_elements_text(answers -> 'edges') with ordinality e (e, n);
    if coalesce(cardinality(mass), 0) = 0 then
        mass := '{0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9}';
    end if;
    update ml.models m
    set calibration_edges = mass,
        -- Every hundredth, and as many bins of equal mass as the baseline knows: scores crowd in a
        -- narrow range.
        score_edges = (select array_agg(distinct e order by e) from (
            select (i / 100.0)::double precision as e from generate_series(1, 99) i
            union all select unnest(mass)
            union all select q::double precision
                from jsonb_array_elements_text(answers -> 'quantiles') q) all_edges)
    where m.id = model;
    if frozen.rows > 0 then
        insert into ml_internal.baselines (model_id, source, rows, cells, means, deviations,
                                           set_by, reason)
        values (model, 'training', frozen.rows, frozen.cells, frozen.means, frozen.deviations,
                session_user, 'registered with the model');
    end if;
    return frozen.variables;
end
$$;
comment on function ml_internal.freeze_bins(integer) is
    'Internal: bins and first baseline of a model, from what was registered with it';
