create view ml.performance_differences with (security_invoker = true) as
select d.cohort, d.detected_month, d.model_version, d.role, d.source, d.pattern_type, d.timeframe,
       d.score, d.baseline, d.n, d.blocks, d.block_days, d.difference, d.standard_error, d.low,
       d.high
from ml_internal.measure_differences('-infinity') d;
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
