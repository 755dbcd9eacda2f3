-- Every figure of drift, from counts alone. A row of "compared" is a cell of a variable in a window, with a rows of the
-- baseline and b live ones; everything below it is arithmetic on these. Formulas and their sources: docs/analysts.md.
create or replace function ml.measure_drift(
    version text, since timestamptz, until timestamptz, width interval default null)
returns table (
    model_version text, window_start timestamptz, window_end timestamptz, complete boolean, kind text, name text,
    n bigint, m bigint, bins integer, psi double precision, psi_critical_value double precision, p_value double precision,
    p_adjusted double precision, jensen_shannon double precision, hellinger double precision, ks double precision,
    mean_shift double precision, deviation_ratio double precision,
    missing_share double precision, infinite_share double precision, unseen_share double precision,
    baseline_missing_share double precision, baseline_infinite_share double precision, baseline_unseen_share double precision,
    importance double precision, rank integer, level text, windows_in_a_row integer,
    rise double precision, rise_p_value double precision, rise_p_adjusted double precision, quality_level text,
    quality_windows_in_a_row integer)
language plpgsql stable set search_path = pg_catalog, pg_temp
-- The planner takes an array for ten elements, and a plan for this costs a tenth of running it.
set enable_nestloop = off set jit = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
begin
return query
with asked as materialized (
    select g.*, case when g.start = date_trunc('day', g.start, 'UTC') and g.seconds % 86400 = 0 then 'day' else 'hour' end as grain
    from (
        select m.id, m.metrics -> 'importances' as importances, h.start, 3600 * greatest(1, ceil(
                   extract(epoch from coalesce(measure_drift.width, measure_drift.until - h.start)) / 3600))::bigint as seconds
        from ml.models m
        cross join lateral (select date_trunc('hour', measure_drift.since, 'UTC') as start) h
        where m.version = measure_drift.version) g
), baseline as materialized (
    select b.* from asked join ml.baselines b on b.model_id = asked.id order by b.id desc limit 1
), variable as materialized (
    select v.position, v.kind, v.name, v.first_cell, v.cells, v.edges is not null as is_number,
           l.means[v.position + 1] as mean, l.deviations[v.position + 1] as deviation,
           i.importance, case when i.importance < 0 then 0 else i.importance end as weight
    from asked join ml.bins v on v.model_id = asked.id cross join baseline l
    cross join lateral (select (asked.importances ->> v.name)::double precision as importance) i
), expected as materialized (
    select v.position, v.is_number, c.cell, v.first_cell + v.cells - c.cell as from_end, u.a, nullif(sum(u.a) over variable, 0) as m,
           min(u.a) filter (where u.a > 0) over variable as least_a, sum(u.a) over (variable order by c.cell) as a_so_far
    from variable v
    cross join lateral generate_series(v.first_cell + 1, v.first_cell + v.cells) c (cell)
    join (select u.a, u.cell from baseline l cross join unnest(l.cells) with ordinality u (a, cell)) u using (cell)
    window variable as (partition by v.position)
), taken as materialized (
    select floor(extract(epoch from f.bucket - asked.start) / asked.seconds)::integer as part,
           ml.sum_arrays(f.cells) as cells, ml.sum_arrays(f.sums) as sums, ml.sum_arrays(f.squares) as squares
    from asked join ml.feature_counts f on f.model_id = asked.id and f.grain = asked.grain
    where f.source = 'live' and f.role in ('champion', 'canary', 'standby')
      and f.bucket >= asked.start
      and f.bucket < asked.start + make_interval(
              secs => asked.seconds * ceil(extract(epoch from measure_drift.until - asked.start) / asked.seconds))
    group by 1
), compared as materialized (
    select t.part, e.position, e.is_number, e.from_end, e.a, e.m, e.least_a, e.a_so_far, coalesce(u.b, 0) as b,
           sum(u.b) over variable as n, min(u.b) filter (where u.b > 0) over variable as least_b,
           coalesce(sum(u.b) over (variable order by e.cell), 0) as b_so_far
    from taken t
    cross join baseline l
    -- Counts end with the last cell that is not empty; the baseline has them all.
    cross join lateral unnest(t.cells, l.cells) with ordinality u (b, a, cell)
    join expected e using (cell)
    where e.a > 0 or u.b > 0
    window variable as (partition by t.part, e.position)
), shared as (
    select c.*, c.a / c.m as p, c.b / c.n as q, (c.a / c.m + c.b / c.n) / 2 as middle,
           -- An empty cell has no logarithm: what evidently 0.7.23 puts there instead.
           case when c.a > 0 then c.a / c.m when c.least_a / c.m > 0.0001 then 0.0001 else c.least_a / c.m / 1e6 end as p_filled,
           case when c.b > 0 then c.b / c.n when c.least_b / c.n > 0.0001 then 0.0001 else c.least_b / c.n / 1e6 end as q_filled,
           (c.a + c.b) * least(c.n, c.m) / (c.n + c.m) >= 10 as dense,
           (c.a * sqrt(c.n / c.m) - c.b * sqrt(c.m / c.n)) ^ 2 / (c.a + c.b) as pearson
    from compared c where c.n > 0
), summed as (
    select s.part, s.position, s.n, s.m, count(*)::integer as bins,
           sum((s.p_filled - s.q_filled) * ln(s.p_filled / s.q_filled)) as psi,
           sqrt(greatest(0, sum(case when s.p > 0 then s.p * ln(s.p / s.middle) else 0 end
                                + case when s.q > 0 then s.q * ln(s.q / s.middle) else 0 end) / (2 * ln(2::double precision)))) as jensen_shannon,
           sqrt(sum((sqrt(s.p) - sqrt(s.q)) ^ 2) / 2) as hellinger,
           case when s.is_number then max(abs(s.b_so_far / s.n - s.a_so_far / s.m)) end as ks,
           coalesce(sum(s.a) filter (where s.from_end = 1), 0) as a_missing, coalesce(sum(s.b) filter (where s.from_end = 1), 0) as b_missing,
           coalesce(sum(s.a) filter (where s.from_end = 0), 0) as a_other, coalesce(sum(s.b) filter (where s.from_end = 0), 0) as b_other,
           count(*) filter (where s.dense)::integer as dense, coalesce(sum(s.pearson) filter (where s.dense), 0) as pearson,
           coalesce(sum(s.a) filter (where not s.dense), 0) as a_sparse, coalesce(sum(s.b) filter (where not s.dense), 0) as b_sparse,
           min(array[s.a + s.b, s.a, s.pearson]) filter (where s.dense) as least_dense
    from shared s group by s.part, s.position, s.n, s.m, s.is_number
), tested as (
    -- Sparse cells are judged together, and with the smallest dense one where they are few even so.
    select s.*, ml.chi_squared_tail(t.pearson, t.groups - 1) as p_value
    from summed s
    cross join lateral (select s.a_sparse + s.b_sparse as rows) r
    cross join lateral (select r.rows * least(s.n, s.m) / (s.n + s.m) < 10 and s.dense > 0 as merged) g
    cross join lateral (
        select s.dense + case when g.merged or r.rows = 0 then 0 else 1 end as groups,
               s.pearson + case
                   when r.rows = 0 then 0
                   when g.merged then ((s.a_sparse + s.least_dense[2]) * sqrt(s.n / s.m)
                                       - (s.b_sparse + s.least_dense[1] - s.least_dense[2]) * sqrt(s.m / s.n)) ^ 2
                                      / (r.rows + s.least_dense[1]) - s.least_dense[3]
                   else (s.a_sparse * sqrt(s.n / s.m) - s.b_sparse * sqrt(s.m / s.n)) ^ 2 / r.rows end as pearson) t
), described as (
    select t.*, v.kind, v.name, v.is_number, v.importance, settings.drift_alpha as alpha,
           t.n >= settings.drift_min_rows and t.m > 0 as speaks,
           t.psi * coalesce(v.weight, avg(v.weight) over (partition by t.part), 1) as weighed,
           (t.m - t.a_missing - t.a_other) as finite_m, nullif(t.n - t.b_missing - t.b_other, 0) as finite_n,
           t2.sums[v.position + 1] as s, t2.squares[v.position + 1] as q, v.mean, nullif(v.deviation, 0) as deviation, rise.k, rise.known, rise.rise,
           settings.psi_warning, settings.psi_critical, settings.missing_warning, settings.missing_critical
    from tested t
    join variable v using (position)
    join taken t2 using (part)
    cross join ml.settings settings
    cross join lateral (
        -- Of the two kinds of bad values the one that has risen more.
        select r.k, r.known, r.k / t.n - (r.known - r.k) / t.m as rise
        from (values (t.b_missing, t.a_missing + t.b_missing), (t.b_other, t.a_other + t.b_other)) r (k, known)
        order by 3 desc limit 1) rise
), judged as (
    select d.*, d.s / d.finite_n as live_mean,
           min(d.p_value * d.family / d.p_rank) over (partition by d.part order by d.p_value desc) as p_adjusted,
           min(d.rise_p_value * d.family / d.rise_rank) over (partition by d.part order by d.rise_p_value desc) as rise_p_adjusted
    from (
        select d.*, count(d.p_value) over (partition by d.part) as family,
               count(*) over (partition by d.part order by d.p_value) as p_rank,
               count(*) over (partition by d.part order by d.rise_p_value) as rise_rank
        from (
            select d.*,
                   case when d.m is null then null when d.rise <= 0 then 1 else least(1, 2 * exp(-least(700, d.k * ln(d.k / d.known * (d.n + d.m) / d.n)
                       + case when d.known > d.k then (d.known - d.k) * ln((d.known - d.k) / d.known * (d.n + d.m) / d.m) else 0 end)))
                   end as rise_p_value
            from described d) d) d
), levelled as (
    select j.*,
           case when not j.speaks or j.p_adjusted > j.alpha then null
                when j.psi >= j.psi_critical then 'critical' when j.psi >= j.psi_warning then 'warning' end as level,
           case when not j.speaks or j.rise_p_adjusted > j.alpha then null
                when j.rise > j.missing_critical then 'critical' when j.rise > j.missing_warning then 'warning' end as quality_level
    from judged j
)
select measure_drift.version, w.starts, w.ends, w.ends <= now(), l.kind, l.name, l.n::bigint, coalesce(l.m, 0)::bigint,
       l.bins, l.psi, (1 / l.n + 1 / l.m) * ml.chi_squared_critical(l.alpha, l.bins - 1), l.p_value, l.p_adjusted,
       l.jensen_shannon, l.hellinger, l.ks,
       case when l.is_number then (l.live_mean - l.mean) / l.deviation end,
       case when l.is_number then sqrt(greatest(0, l.q / l.finite_n - l.live_mean ^ 2)) / l.deviation end,
       l.b_missing / l.n, case when l.is_number then l.b_other / l.n end, case when not l.is_number then l.b_other / l.n end,
       l.a_missing / l.m, case when l.is_number then l.a_other / l.m end, case when not l.is_number then l.a_other / l.m end,
       l.importance,
       row_number() over (partition by l.part, l.kind = 'output' order by l.weighed desc nulls last, l.psi desc nulls last, l.position)::integer,
       l.level, (l.drifting - coalesce(max(l.drifting) filter (where l.speaks and l.level is null) over so_far, 0))::integer,
       l.rise, l.rise_p_value, l.rise_p_adjusted, l.quality_level,
       (l.worse - coalesce(max(l.worse) filter (where l.speaks and l.quality_level is null) over so_far, 0))::integer
from (
    select l.*, count(l.level) over so_far as drifting, count(l.quality_level) over so_far as worse
    from levelled l window so_far as (partition by l.position order by l.part)) l
cross join lateral (
    select asked.start + make_interval(secs => asked.seconds * l.part) as starts,
           asked.start + make_interval(secs => asked.seconds * (l.part + 1)) as ends from asked) w
window so_far as (partition by l.position order by l.part)
order by w.starts desc, l.kind, l.position;
end
$$;
comment on function ml.measure_drift(text, timestamptz, timestamptz, interval) is
    'How a model''s features, inputs and answers in windows of whole hours, the first beginning at since, differ from its baseline';
