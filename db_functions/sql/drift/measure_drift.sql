-- Every figure of drift, from counts alone. A row of "compared" is a cell of a variable in a
-- window, with a rows of the baseline and b live ones; everything below it is arithmetic on these.
-- Formulas and their sources: docs/analysts.md.
create or replace function ml_internal.measure_drift(
    version text, since timestamptz, until timestamptz, width interval default null)
returns table (
    model_version text, window_start timestamptz, window_end timestamptz, complete boolean,
    kind text, name text, n bigint, m bigint, bins integer, psi double precision,
    psi_critical_value double precision, p_value double precision, p_adjusted double precision,
    jensen_shannon double precision, hellinger double precision, ks double precision,
    mean_shift double precision, deviation_ratio double precision, missing_share double precision,
    infinite_share double precision, unseen_share double precision,
    baseline_missing_share double precision, baseline_infinite_share double precision,
    baseline_unseen_share double precision, importance double precision, rank integer, level text,
    windows_in_a_row integer, rise double precision, rise_p_value double precision,
    rise_p_adjusted double precision, quality_level text,
    quality_windows_in_a_row integer)
language plpgsql stable set search_path = pg_catalog, pg_temp
-- The planner takes an array for ten elements, and making a plan for this costs a tenth of running
-- it.
set enable_nestloop = off set jit = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    model     record;
    baseline  ml_internal.baselines;
    opens     constant timestamptz := date_trunc('hour', measure_drift.since, 'UTC');
    seconds   constant bigint := 3600 * greatest(1, ceil(
        extract(epoch from coalesce(measure_drift.width, measure_drift.until - opens)) / 3600));
    closes    constant timestamptz := opens + make_interval(
        secs => seconds * ceil(extract(epoch from measure_drift.until - opens) / seconds));
    per       constant text := case
        when opens = date_trunc('day', opens, 'UTC') and seconds % 86400 = 0 then 'day'
        else 'hour' end;
begin
select m.id, m.metrics -> 'importances' as importances into model from ml.models m
where m.version = measure_drift.version;
select b.* into baseline from ml_internal.baselines b where b.model_id = model.id
order by b.id desc limit 1;
return query
with variable as materialized (
    select v.position, v.kind, v.name, v.first_cell, v.cells, v.edges is not null as is_number,
           baseline.means[v.position + 1] as mean,
           nullif(baseline.deviations[v.position + 1], 0) as deviation,
           i.importance, case when i.importance < 0 then 0 else i.importance end as weight
    from ml_internal.bins v
    cross join lateral (select (model.importances ->> v.name)::double precision as importance) i
    where v.model_id = model.id and baseline.id is not null
), expected as materialized (
    select v.position, c.cell, v.first_cell + v.cells - c.cell as from_end, u.a,
           nullif(sum(u.a) over variable, 0) as m,
           min(u.a) filter (where u.a > 0) over variable as least_a,
           sum(u.a) over (variable order by c.cell) as a_so_far
    from variable v
    cross join lateral generate_series(v.first_cell + 1, v.first_cell + v.cells) c (cell)
    join unnest(baseline.cells) with ordinality u (a, cell) using (cell)
    window variable as (partition by v.position)
), taken as materialized (
    select floor(extract(epoch from f.bucket - opens) / seconds)::integer as part,
           ml_internal.sum_arrays(f.cells) as cells,
           ml_internal.sum_arrays(f.sums) as sums, ml_internal.sum_arrays(f.squares) as squares
    from ml_internal.feature_counts f
    where f.model_id = model.id and f.grain = per and f.source = 'live'
      and f.role in ('champion', 'canary', 'standby')
      and f.bucket >= opens and f.bucket < closes
    group by 1
), compared as materialized (
    select t.part, e.position, e.from_end, e.a, e.m, e.least_a, e.a_so_far, u.b, u.b_so_far
    from taken t
    cross join lateral (
        -- Counts end with the last cell that is not empty; the baseline has them all.
        select u.cell, coalesce(u.b, 0) as b,
               coalesce(sum(u.b) over (order by u.cell rows unbounded preceding), 0) as b_so_far
        from unnest(t.cells, baseline.cells) with ordinality u (b, a, cell)) u
    join expected e using (cell)
    where e.a > 0 or u.b > 0
), total as materialized (
    select c.part, c.position, sum(c.b) as n, min(c.b) filter (where c.b > 0) as least_b,
           min(c.b_so_far - c.b) as b_before
    from compared c group by 1, 2 having sum(c.b) > 0
), shared as (
    select c.*, t.n, c.a / c.m as p, c.b / t.n as q, (c.a / c.m + c.b / t.n) / 2 as middle,
           -- An empty cell has no logarithm: what evidently 0.7.23 puts there instead.
           case when c.a > 0 then c.a / c.m when c.least_a / c.m > 0.0001 then 0.0001
                else c.least_a / c.m / 1e6 end as p_filled,
           case when c.b > 0 then c.b / t.n when t.least_b / t.n > 0.0001 then 0.0001
                else t.least_b / t.n / 1e6 end as q_filled,
           -- Ten are expected in the smaller sample, or it has forty where fewer are: one time in
           -- 10^12 by chance.
           (c.a + c.b) * least(t.n, c.m) / (t.n + c.m) >= 10
           or case when t.n <= c.m then c.b else c.a end >= 40 as dense,
           (c.a * sqrt(t.n / c.m) - c.b * sqrt(c.m / t.n)) ^ 2 / (c.a + c.b) as pearson,
           abs((c.b_so_far - t.b_before) / t.n - c.a_so_far / c.m) as gap
    from compared c join total t using (part, position)
), summed as (
    select s.part, s.position, s.n, s.m, count(*)::integer as bins,
           sum((s.p_filled - s.q_filled) * ln(s.p_filled / s.q_filled)) as psi,
           sqrt(greatest(0, sum(case when s.p > 0 then s.p * ln(s.p / s.middle) else 0 end
                                + case when s.q > 0 then s.q * ln(s.q / s.middle) else 0 end)
                            / (2 * ln(2::double precision)))) as jensen_shannon,
           sqrt(sum((sqrt(s.p) - sqrt(s.q)) ^ 2) / 2) as hellinger,
           max(s.gap) as ks,
           coalesce(sum(s.a) filter (where s.from_end = 1), 0) as a_missing,
           coalesce(sum(s.b) filter (where s.from_end = 1), 0) as b_missing,
           coalesce(sum(s.a) filter (where s.from_end = 0), 0) as a_other,
           coalesce(sum(s.b) filter (where s.from_end = 0), 0) as b_other,
           count(*) filter (where s.dense)::integer as dense,
           coalesce(sum(s.pearson) filter (where s.dense), 0) as pearson,
           coalesce(sum(s.a) filter (where not s.dense), 0) as a_sparse,
           coalesce(sum(s.b) filter (where not s.dense), 0) as b_sparse,
           min(array[s.a + s.b, s.a, s.pearson]) filter (where s.dense) as least_dense
    from shared s group by s.part, s.position, s.n, s.m
), tested as (
    -- Sparse cells are judged together, and with the smallest dense one where they are few even so.
    select s.*, ml_internal.chi_squared_tail(t.pearson, t.groups - 1) as p_value,
           (1 / s.n + 1 / s.m) * c.quantile as psi_critical_value
    from summed s
    join (select distinct d.bins,
                 ml_internal.chi_squared_critical(settings.drift_alpha, d.bins - 1) as quantile
          from summed d cross join ml.settings) c using (bins)
    cross join lateral (select s.a_sparse + s.b_sparse as rows) r
    cross join lateral (
        select r.rows * least(s.n, s.m) / (s.n + s.m) < 10 and s.dense > 0 as merged) g
    cross join lateral (
        select s.dense + case when g.merged or r.rows = 0 then 0 else 1 end as groups,
               s.pearson + case
                   when r.rows = 0 then 0
                   when g.merged then
                       ((s.a_sparse + s.least_dense[2]) * sqrt(s.n / s.m)
                        - (s.b_sparse + s.least_dense[1] - s.least_dense[2]) * sqrt(s.m / s.n)) ^ 2
                       / (r.rows + s.least_dense[1]) - s.least_dense[3]
                   else
                       (s.a_sparse * sqrt(s.n / s.m) - s.b_sparse * sqrt(s.m / s.n)) ^ 2 / r.rows
                   end as pearson) t
), described as (
    select t.*, v.kind, v.name, v.is_number, v.importance, settings.drift_alpha as alpha,
           t.n >= settings.drift_min_rows and t.m > 0 as speaks,
           t.psi * coalesce(v.weight, avg(v.weight) over (partition by t.part), 1) as weighed,
           nullif(t.n - t.b_missing - t.b_other, 0) as finite_n,
           t2.sums[v.position + 1] as s, t2.squares[v.position + 1] as q, v.mean, v.deviation, r.k,
           r.known, r.k / t.n - (r.known - r.k) / t.m as rise,
           settings.psi_warning, settings.psi_critical, settings.missing_warning,
           settings.missing_critical
    from tested t
    join variable v using (position)
    join taken t2 using (part)
    cross join ml.settings settings
    -- Of the two kinds of bad values the one that has risen more.
    cross join lateral (
        select t.b_missing / t.n - t.a_missing / t.m
               >= t.b_other / t.n - t.a_other / t.m as missing) w
    cross join lateral (select case when w.missing then t.b_missing else t.b_other end as k,
                               case when w.missing then t.a_missing + t.b_missing
                                    else t.a_other + t.b_other end as known) r
), judged as (
    select d.*, d.s / d.finite_n as live_mean,
           min(d.p_value * d.family / d.p_rank)
               over (partition by d.part order by d.p_value desc) as p_adjusted,
           min(d.rise_p_value * d.family / d.rise_rank)
               over (partition by d.part order by d.rise_p_value desc) as rise_p_adjusted
    from (
        select d.*, count(d.p_value) over (partition by d.part) as family,
               count(*) over (partition by d.part order by d.p_value) as p_rank,
               count(*) over (partition by d.part order by d.rise_p_value) as rise_rank
        from (
            select d.*,
                   case when d.m is null then null
                        when d.rise <= 0 then 1
                        else least(1, 2 * exp(-least(700,
                            d.k * ln(d.k / d.known * (d.n + d.m) / d.n)
                            + case when d.known > d.k
                                   then (d.known - d.k)
                                        * ln((d.known - d.k) / d.known * (d.n + d.m) / d.m)
                                   else 0 end)))
                   end as rise_p_value
            from described d) d) d
), levelled as (
    select j.*,
           case when not j.speaks or j.p_adjusted > j.alpha then null
                when j.psi >= j.psi_critical then 'critical'
                when j.psi >= j.psi_warning then 'warning' end as level,
           case when not j.speaks or j.rise_p_adjusted > j.alpha then null
                when j.rise > j.missing_critical then 'critical'
                when j.rise > j.missing_warning then 'warning' end as quality_level
    from judged j
)
select measure_drift.version, w.starts, w.ends, w.ends <= now(), l.kind, l.name, l.n::bigint,
       coalesce(l.m, 0)::bigint, l.bins, l.psi, l.psi_critical_value, l.p_value, l.p_adjusted,
       l.jensen_shannon, l.hellinger, case when l.is_number then l.ks end,
       case when l.is_number then (l.live_mean - l.mean) / l.deviation end,
       case when l.is_number and l.finite_n > 0
            then sqrt(greatest(0, l.q / l.finite_n - l.live_mean ^ 2)) / l.deviation end,
       l.b_missing / l.n, case when l.is_number then l.b_other / l.n end,
       case when not l.is_number then l.b_other / l.n end,
       l.a_missing / l.m, case when l.is_number then l.a_other / l.m end,
       case when not l.is_number then l.a_other / l.m end,
       l.importance,
       row_number() over (partition by l.part, l.kind = 'output'
                          order by l.weighed desc nulls last, l.psi desc nulls last,
                          l.position)::integer,
       l.level,
       (l.drifting - coalesce(max(l.drifting) filter (where l.speaks and l.level is null)
                              over so_far, 0))::integer,
       l.rise, l.rise_p_value, l.rise_p_adjusted, l.quality_level,
       (l.worse - coalesce(max(l.worse) filter (where l.speaks and l.quality_level is null)
                           over so_far, 0))::integer
from (
    select l.*, count(l.level) over so_far as drifting, count(l.quality_level) over so_far as worse
    from levelled l window so_far as (partition by l.position order by l.part)) l
cross join lateral (
    select opens + make_interval(secs => seconds * l.part) as starts,
           opens + make_interval(secs => seconds * (l.part + 1)) as ends) w
window so_far as (partition by l.position order by l.part)
order by w.starts desc, l.kind, l.position;
end
$$;
comment on function ml_internal.measure_drift(text, timestamptz, timestamptz, interval) is
    'How a model''s features, inputs and answers in windows of whole '
    'hours, the first beginning at since, differ from its baseline';
