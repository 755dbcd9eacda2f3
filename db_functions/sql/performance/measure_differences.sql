-- Means of paired differences over rows that are not independent: the rows of one block of calendar
-- time, all symbols together, count as one draw (ratio estimator of clustered sampling: Cochran,
-- Sampling Techniques, 1977, chapter 9; training.blocks is the same for NumPy). With D_k the sum of
-- differences in block k, N_k its rows, m their mean and K blocks, the standard error is
-- sqrt(K / (K - 1) * sum (D_k - m N_k)^2) / N.
create function ml_internal.measure_differences(
    since date)  -- only predictions of that week (a Monday, UTC) and later ones
returns table (
    cohort date, detected_month date, model_version text, role text, source text,
    pattern_type text, timeframe text, score text, baseline text, n bigint, blocks bigint,
    block_days integer, difference double precision, standard_error double precision,
    low double precision, high double precision)
language sql stable
set search_path = pg_catalog, pg_temp
set jit = off
as $$
with horizon as materialized (
    select m.id, m.version, coalesce(m.label_horizon, s.label_horizon) as bars
    from ml.models m cross join ml.settings s
), week as (
    select p.model_id, p.role, p.source, p.cohort, p.detected_month, p.pattern_type, p.timeframe,
           (p.detected_week - date '1970-01-05') / 7 as week,
           max(ml_internal.block_weeks(p.timeframe, h.bars)) as weeks,
           sum(p.labelled) as n, sum(p.positives) as y, sum(p.ml_error) as ml,
           sum(p.served) as served_n, sum(p.served_positives) as served_y,
           sum(p.served_error) as served, sum(p.served_ml) as served_ml, sum(p.ruled) as ruled,
           sum(p.ml_rule) as ml_rule, sum(p.served_rule) as served_rule, sum(p.passed) as passed,
           sum(p.ml_passage) as ml_passage, sum(p.served_passed) as served_passed,
           sum(p.served_passage) as served_passage
    from ml_internal.paired_counts p join horizon h on h.id = p.model_id
    where p.cohort >= measure_differences.since
    group by p.model_id, p.role, p.source, p.detected_week, grouping sets (
        (), (p.pattern_type), (p.timeframe), (p.cohort), (p.detected_month))
), placed as (
    select w.*, max(w.weeks) over (partition by w.model_id, w.role, w.source, w.cohort,
                                                w.detected_month, w.pattern_type, w.timeframe)
               as block_weeks
    from week w
), block as (
    select p.model_id, p.role, p.source, p.cohort, p.detected_month, p.pattern_type, p.timeframe,
           p.block_weeks, sum(p.n) as n, sum(p.y) as y, sum(p.ml) as ml,
           sum(p.served_n) as served_n, sum(p.served_y) as served_y, sum(p.served) as served,
           sum(p.served_ml) as served_ml, sum(p.ruled) as ruled, sum(p.ml_rule) as ml_rule,
           sum(p.served_rule) as served_rule, sum(p.passed) as passed,
           sum(p.ml_passage) as ml_passage, sum(p.served_passed) as served_passed,
           sum(p.served_passage) as served_passage
    from placed p
    group by p.model_id, p.role, p.source, p.cohort, p.detected_month, p.pattern_type, p.timeframe,
             p.block_weeks, p.week / p.block_weeks
), rated as (
    select b.*, sum(b.y) over own / sum(b.n) over own as rate,
           sum(b.served_y) over own / nullif(sum(b.served_n) over own, 0) as served_rate,
           rank() over (order by b.model_id, b.role, b.source, b.cohort, b.detected_month,
                                 b.pattern_type, b.timeframe) as own
    from block b
    window own as (partition by b.model_id, b.role, b.source, b.cohort, b.detected_month,
                                b.pattern_type, b.timeframe)
), pair as (
    select r.own, v.pair, v.n, v.d,
           sum(v.d) over (partition by r.own, v.pair)
               / sum(v.n) over (partition by r.own, v.pair) as mean
    from rated r
    -- The base rate is that of the same rows, known afterwards: no forecast had it.
    cross join lateral (values
        (1, r.ruled, r.ml_rule),
        (2, r.passed, r.ml_passage),
        (3, r.n, r.ml - r.y * (1 - 2 * r.rate) - r.n * r.rate ^ 2),
        (4, r.ruled, r.served_rule),
        (5, r.served_passed, r.served_passage),
        (6, r.served_n, r.served - r.served_y * (1 - 2 * r.served_rate)
                        - r.served_n * r.served_rate ^ 2),
        (7, r.served_n, r.served_ml)) v (pair, n, d)
    where v.n > 0
), found as (
    select p.own, p.pair, p.mean, sum(p.n)::bigint as n, count(*) as blocks,
           case when count(*) > 1 then sqrt(count(*) / (count(*) - 1.0)
                                            * sum((p.d - p.mean * p.n) ^ 2)) / sum(p.n) end
               as standard_error
    from pair p
    group by p.own, p.pair, p.mean
), quantile as materialized (
    -- Few numbers of blocks, and this costs more than all the rest of a row.
    select k.blocks, ml_internal.t_quantile(0.975, k.blocks - 1) as quantile
    from (select distinct blocks from found where blocks > 1) k
)
select g.cohort, g.detected_month, h.version as model_version, g.role, g.source, g.pattern_type,
       g.timeframe, n.score, n.baseline, f.n, f.blocks, 7 * g.block_weeks as block_days,
       f.mean as difference, f.standard_error, f.mean - t.quantile * f.standard_error as low,
       f.mean + t.quantile * f.standard_error as high
from found f
join (values (1, 'ml', 'rule'), (2, 'ml', 'first_passage'), (3, 'ml', 'base_rate'),
             (4, 'served', 'rule'), (5, 'served', 'first_passage'), (6, 'served', 'base_rate'),
             (7, 'served', 'ml')) n (pair, score, baseline) on n.pair = f.pair
join (select distinct on (own) * from rated order by own) g on g.own = f.own
join horizon h on h.id = g.model_id
left join quantile t on t.blocks = f.blocks
$$;
comment on function ml_internal.measure_differences(date) is
    'ml.performance_differences over the predictions since a week';
