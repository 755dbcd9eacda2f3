-- A worker counts its batch itself, with NumPy. This is for the batch of which some rows were not
-- written.
create function ml_internal.count_scores(
    model integer, scores ml_internal.score[], out rows integer, out cells integer[],
    out counts integer[], out sums double precision[], out squares double precision[])
language sql stable set search_path = pg_catalog, pg_temp
as $$
with scored as (
    select g.pattern_id, g.ml_confidence, g.features,
           ml_internal.predicted_class(g.probabilities) as class
    from unnest(scores) g where g.ml_confidence is not null
), variable as (
    select b.*, f.place
    from ml_internal.bins b
    join ml.models m on m.id = b.model_id
    left join unnest(m.feature_names) with ordinality f (name, place)
        on b.kind = 'feature' and f.name = b.name
    where b.model_id = count_scores.model
), number as (
    select v.position, v.first_cell, v.cells, v.edges,
           case v.kind when 'output' then g.ml_confidence
                else g.features[v.place] end::double precision as x
    from variable v cross join scored g
    where v.edges is not null and (v.kind = 'output' or v.place <= cardinality(g.features))
), word as (
    select v.first_cell, v.cells, v.categories,
           case v.name when 'pattern_type' then p.pattern_type when 'timeframe' then p.timeframe
                else g.class end as x
    from variable v
    cross join scored g
    join public.pattern_events p on p.id = g.pattern_id
    where v.categories is not null
), filled as (
    select u.cell, count(*)::integer as n
    from (
        select n.first_cell + case
                   when n.x is null or n.x = 'NaN' then n.cells - 2
                   when abs(n.x) = 'Infinity' then n.cells - 1
                   else width_bucket(n.x, n.edges) end as cell
        from number n
        union all
        select w.first_cell + case
                   when w.x is null then w.cells - 2
                   else coalesce(array_position(w.categories, w.x) - 1, w.cells - 1) end
        from word w) u
    group by u.cell
), moment as (
    select v.position, coalesce(sum(n.x), 0) as s, coalesce(sum(n.x * n.x), 0) as q
    from variable v
    left join number n on n.position = v.position and abs(n.x) < 'Infinity'
    group by v.position
)
select (select count(*)::integer from scored where exists (select from variable)),
       (select array_agg(f.cell order by f.cell) from filled f),
       (select array_agg(f.n order by f.cell) from filled f),
       (select array_agg(m.s order by m.position) from moment m),
       (select array_agg(m.q order by m.position) from moment m);
$$;
comment on function ml_internal.count_scores(integer, ml_internal.score[]) is
    'Internal: how scores fall into the frozen bins of '
    'their model, as a row of ml_internal.tallies';
