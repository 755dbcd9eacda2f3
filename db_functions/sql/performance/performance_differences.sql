-- Means of paired differences over rows that are not independent: the rows of one block of calendar
-- time, all symbols together, count as one draw (ratio estimator of clustered sampling: Cochran,
-- Sampling Techniques, 1977, chapter 9; training.blocks is the same for NumPy). With D_k the sum of
-- differences in block k, N_k its rows, m their mean and K blocks, the standard error is
-- sqrt(K / (K - 1) * sum (D_k - m N_k)^2) / N.
create view ml.performance_differences with (security_invoker = true) as
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
    group by p.model_id, p.role, p.source, p.detected_week, grouping sets (
        (), (p.pattern_type), (p.timeframe), (p.cohort), (p.detected_month))
), placed as (
    select w.*, max(w.weeks) over own as block_weeks,
           sum(w.y) over own / nullif(sum(w.n) over own, 0) as rate,
           sum(w.served_y) over own / nullif(sum(w.served_n) over own, 0) as served_rate
    from week w
    window own as (partition by w.model_id, w.role, w.source, w.cohort, w.detected_month,
                                w.pattern_type, w.timeframe)
), block as (
    select p.model_id, p.role, p.source, p.cohort, p.detected_month, p.pattern_type, p.timeframe,
           p.block_weeks, v.score, v.baseline, sum(v.n) as n, sum(v.d) as d
    from placed p
    -- The base rate is that of the same rows, known afterwards: no forecast had it.
    cross join lateral (values
        ('ml', 'rule', p.ruled, p.ml_rule),
        ('ml', 'first_passage', p.passed, p.ml_passage),
        ('ml', 'base_rate', p.n, p.ml - p.y * (1 - 2 * p.rate) - p.n * p.rate ^ 2),
        ('served', 'rule', p.ruled, p.served_rule),
        ('served', 'first_passage', p.served_passed, p.served_passage),
        ('served', 'base_rate', p.served_n, p.served - p.served_y * (1 - 2 * p.served_rate)
                                            - p.served_n * p.served_rate ^ 2),
        ('served', 'ml', p.served_n, p.served_ml)) v (score, baseline, n, d)
    where v.n > 0
    group by p.model_id, p.role, p.source, p.cohort, p.detected_month, p.pattern_type, p.timeframe,
             p.block_weeks, p.week / p.block_weeks, v.score, v.baseline
), mean as (
    select b.*, sum(b.d) over own / sum(b.n) over own as mean
    from block b
    window own as (partition by b.model_id, b.role, b.source, b.cohort, b.detected_month,
                                b.pattern_type, b.timeframe, b.score, b.baseline)
), found as (
    select m.model_id, m.role, m.source, m.cohort, m.detected_month, m.pattern_type, m.timeframe,
           m.score, m.baseline, sum(m.n)::bigint as n, count(*) as blocks,
           7 * m.block_weeks as block_days, m.mean as difference,
           case when count(*) > 1 then sqrt(count(*) / (count(*) - 1.0)
                                            * sum((m.d - m.mean * m.n) ^ 2)) / sum(m.n) end
               as standard_error
    from mean m
    group by m.model_id, m.role, m.source, m.cohort, m.detected_month, m.pattern_type, m.timeframe,
             m.score, m.baseline, m.block_weeks, m.mean
)
select f.cohort, f.detected_month, h.version as model_version, f.role, f.source, f.pattern_type,
       f.timeframe, f.score, f.baseline, f.n, f.blocks, f.block_days, f.difference,
       f.standard_error, f.difference - t.quantile * f.standard_error as low,
       f.difference + t.quantile * f.standard_error as high
from found f
join horizon h on h.id = f.model_id
left join lateral (select ml_internal.t_quantile(0.975, f.blocks - 1) as quantile) t
    on f.blocks > 1;
comment on view ml.performance_differences is
    'How much better the model''s score, and what was served, did than the rule, first passage, '
    'the base rate and the model alone, on the same rows: below 0 is better. By week, detected '
    'month, pattern type or timeframe, one at a time, and in all (null)';
comment on column ml.performance_differences.cohort is
    'the Monday (UTC) of the week in which the predictions were made; null: all weeks';
comment on column ml.performance_differences.detected_month is
    'the first day (UTC) of the month that the patterns were detected in; null: all months';
comment on column ml.performance_differences.model_version is 'the model';
comment on column ml.performance_differences.role is
    'as whom the model scored: champion, canary, standby or challenger';
comment on column ml.performance_differences.source is
    'live (rows scored as they came), backfill, or seen_in_training: no evidence, the model may '
    'have learned from these rows';
comment on column ml.performance_differences.pattern_type is 'null: all pattern types together';
comment on column ml.performance_differences.timeframe is 'null: all timeframes together';
comment on column ml.performance_differences.score is
    'ml, or served: what applications read when the row was scored';
comment on column ml.performance_differences.baseline is
    'rule, first_passage (null where the model computes none), ml, or base_rate: the share of '
    'positive outcomes in these very rows, which no forecast knew';
comment on column ml.performance_differences.n is 'labelled predictions that have both';
comment on column ml.performance_differences.blocks is
    'blocks of calendar time with such rows: errors come from their sums';
comment on column ml.performance_differences.block_days is
    'length of a block: the label horizon of the slowest timeframe, in whole weeks';
comment on column ml.performance_differences.difference is
    'mean Brier score of score less that of baseline: below 0 is better';
comment on column ml.performance_differences.standard_error is
    'of the difference, by blocks; null with fewer than two';
comment on column ml.performance_differences.low is
    'lower end of the 95 % interval of difference, by blocks';
comment on column ml.performance_differences.high is
    'upper end of the 95 % interval of difference, by blocks';
