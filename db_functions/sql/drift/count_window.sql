create or replace function ml_internal.count_window(
    model integer, since timestamptz, until timestamptz, out rows bigint,
    out cells double precision[],
    out means double precision[], out deviations double precision[])
language sql stable security definer set search_path = pg_catalog, pg_temp set jit = off
as $$
with taken as materialized (
    select f.rows, f.cells, f.sums, f.squares from ml_internal.feature_counts f
    where f.model_id = count_window.model and f.grain = 'hour' and f.source = 'live'
      and f.bucket >= count_window.since and f.bucket < count_window.until
), counted as (
    select u.cell, sum(u.n) as n from taken t cross join unnest(t.cells) with ordinality u (n, cell)
    group by u.cell
), moment as (
    select u.place, sum(u.s) as s, sum(u.q) as q from taken t
    cross join unnest(t.sums, t.squares) with ordinality u (s, q, place) group by u.place
), variable as (
    select v.position, v.edges is not null as is_number,
           array_agg(coalesce(c.n, 0) order by cell) as cells,
           sum(c.n) filter (where cell < v.first_cell + v.cells - 1) as finite
    from ml_internal.bins v
    cross join lateral generate_series(v.first_cell + 1, v.first_cell + v.cells) cell
    left join counted c using (cell)
    where v.model_id = count_window.model group by v.position, v.edges
)
select coalesce((select sum(t.rows)::bigint from taken t), 0),
       (select array_agg(u.n order by v.position, u.place) from variable v
        cross join unnest(v.cells) with ordinality u (n, place)),
       array_agg(case when v.is_number and v.finite > 0 then m.s / v.finite end
                 order by v.position),
       array_agg(case when v.is_number
                 and v.finite > 0 then sqrt(greatest(0, m.q / v.finite - (m.s / v.finite) ^ 2)) end
                 order by v.position)
from variable v left join moment m on m.place = v.position + 1
$$;
comment on function ml_internal.count_window(integer, timestamptz, timestamptz) is
    'Internal: what live rows of whole hours hold in the bins '
    'of a model, in the form of ml_internal.baselines';
