create view ml.performance_gap with (security_invoker = true) as
with counted as (
    select m.version as model_version, c.*,
           (c.error - c.labelled_expected_error) / c.labelled as gap,
           sqrt(greatest(0, c.labelled_error_variance)) / c.labelled as standard_error
    from ml_internal.cohort_counts c join ml.models m on m.id = c.model_id
    where c.labelled > 0
)
select c.cohort, c.detected_month, c.model_version, c.role, c.source,
       c.pattern_type, c.timeframe, c.score,
       c.labelled as n,
       c.positives::double precision / c.labelled as base_rate_realised,
       c.labelled_expected_positives / c.labelled as base_rate_expected,
       c.hits::double precision / nullif(c.labelled_called, 0) as precision_realised,
       c.labelled_expected_hits / nullif(c.labelled_called, 0) as precision_expected,
       c.error / c.labelled as brier_realised,
       c.labelled_expected_error / c.labelled as brier_expected,
       c.gap, c.standard_error, c.gap / nullif(c.standard_error, 0) as z,
       case when c.labelled < s.label_min_rows or c.gap < 3 * c.standard_error then null
            when c.gap >= s.gap_critical then 'critical'
            when c.gap >= s.gap_warning then 'warning' end as level
from counted c cross join ml.settings s;
comment on view ml.performance_gap is
    'Brier scores as they came, less what the model itself expected of '
    'the very same predictions: positive is worse than it knew';
comment on column ml.performance_gap.cohort is
    'the Monday (UTC) of the week in which the predictions were made; null: all weeks';
comment on column ml.performance_gap.detected_month is
    'the first day (UTC) of the month that the patterns were detected in; null: all months';
comment on column ml.performance_gap.model_version is 'the model';
comment on column ml.performance_gap.role is
    'as whom the model scored: champion, canary, standby or challenger';
comment on column ml.performance_gap.source is
    'live (rows scored as they came), backfill, or seen_in_training: no evidence, the model may '
    'have learned from these rows';
comment on column ml.performance_gap.pattern_type is 'null: all pattern types together';
comment on column ml.performance_gap.timeframe is 'null: all timeframes together';
comment on column ml.performance_gap.score is
    'whose probability: ml, rule, blended, served (what applications read when the row was scored) '
    'or first_passage (of models that compute it)';
comment on column ml.performance_gap.n is 'labelled predictions';
comment on column ml.performance_gap.base_rate_realised is 'share of positive outcomes';
comment on column ml.performance_gap.base_rate_expected is
    'share of positive outcomes that the model expected';
comment on column ml.performance_gap.precision_realised is
    'share of positive outcomes among called predictions';
comment on column ml.performance_gap.precision_expected is 'precision that the model expected';
comment on column ml.performance_gap.brier_realised is 'Brier score of the outcomes; 0 is best';
comment on column ml.performance_gap.brier_expected is
    'Brier score that the model expected of the same predictions';
comment on column ml.performance_gap.gap is
    'brier_realised less brier_expected: above 0 is worse than the model knew';
comment on column ml.performance_gap.standard_error is
    'standard error of the gap when the model is right';
comment on column ml.performance_gap.z is 'gap in standard errors';
comment on column ml.performance_gap.level is
    'warning or critical when the gap is significant and above its setting, else null';
