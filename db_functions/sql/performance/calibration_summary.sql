create view ml.calibration_summary with (security_invoker = true) as
with counted as (
    select m.version as model_version, c.role, c.source, c.score, c.cohort, c.detected_month,
           c.pattern_type, c.timeframe, c.labelled, c.positives,
           c.score_sum, c.error, c.own_error, c.own_variance, c.log_loss, e.*
    from ml_internal.cohort_counts c
    join ml.models m on m.id = c.model_id
    cross join lateral (
        -- ece: the expected calibration error of Naeini, Cooper and Hauskrecht (2015), as in
        -- training, here over the frozen bins; ml.shadow_comparison.calibration_error is another
        -- estimator. Of a calibrated model positives - total is about normal, with this variance;
        -- its size is then half-normal.
        select sum(abs(b.positives - b.total)) / c.labelled as ece,
               sqrt(2 / pi()) * sum(sqrt(b.variance)) / c.labelled as ece_expected,
               sqrt((1 - 2 / pi()) * sum(b.variance)) / c.labelled as ece_deviation
        from (select u.positives, u.total, greatest(0, u.total * (1 - u.total / u.n)) as variance
              from unnest(c.calibration, c.calibration_positives, c.calibration_sums)
                  u (n, positives, total)
              where u.n > 0) b
    ) e
    where num_nulls(c.cohort, c.detected_month, c.pattern_type, c.timeframe) >= 3 and c.labelled > 0
), tested as (
    select c.*, c.ece - c.ece_expected as ece_excess,
           (c.error - c.own_error) / nullif(sqrt(greatest(0, c.own_variance)), 0) as spiegelhalter_z
    from counted c
)
select t.model_version, t.role, t.source, t.score, t.cohort, t.detected_month,
       t.pattern_type, t.timeframe,
       t.labelled as n, t.score_sum / t.labelled as predicted,
       t.positives::double precision / t.labelled as observed,
       t.positives / nullif(t.score_sum, 0) as observed_expected, t.ece, t.ece_expected,
       t.ece_deviation, t.ece_excess, t.error / t.labelled as brier,
       t.log_loss / t.labelled as log_loss, t.spiegelhalter_z,
       2 * ml_internal.normal_tail(abs(t.spiegelhalter_z)) as p_value,
       case when t.labelled < s.label_min_rows or t.ece_excess < 3 * t.ece_deviation then null
            when t.ece_excess >= s.calibration_critical then 'critical'
            when t.ece_excess >= s.calibration_warning then 'warning' end as level
from tested t cross join ml.settings s;
comment on view ml.calibration_summary is
    'How well probabilities and outcomes agree, beside what chance alone would '
    'show: one row per model and score, per week, detected month, '
    'type, timeframe, or in all';
comment on column ml.calibration_summary.model_version is 'the model';
comment on column ml.calibration_summary.role is
    'as whom the model scored: champion, canary, standby or challenger';
comment on column ml.calibration_summary.source is
    'live (rows scored as they came), backfill, or seen_in_training: no evidence, the model may '
    'have learned from these rows';
comment on column ml.calibration_summary.score is
    'whose probability: ml, rule, blended, served (what applications read when the row was scored) '
    'or first_passage (of models that compute it)';
comment on column ml.calibration_summary.cohort is
    'the Monday (UTC) of the week in which the predictions were made; null: all weeks';
comment on column ml.calibration_summary.detected_month is
    'the first day (UTC) of the month that the patterns were detected in; null: all months';
comment on column ml.calibration_summary.pattern_type is 'null: all pattern types together';
comment on column ml.calibration_summary.timeframe is 'null: all timeframes together';
comment on column ml.calibration_summary.n is 'labelled predictions';
comment on column ml.calibration_summary.predicted is
    'mean score: the share of positive outcomes that was predicted';
comment on column ml.calibration_summary.observed is 'share of positive outcomes';
comment on column ml.calibration_summary.observed_expected is
    'positive outcomes over the sum of scores; 1 is calibrated in the large';
comment on column ml.calibration_summary.ece is
    'expected calibration error: the mean over bins of |observed - predicted|, weighted by rows';
comment on column ml.calibration_summary.ece_expected is
    'the ece that a calibrated model would show on average at this n';
comment on column ml.calibration_summary.ece_deviation is
    'standard deviation of the ece of a calibrated model at this n';
comment on column ml.calibration_summary.ece_excess is
    'ece less ece_expected: what chance does not explain';
comment on column ml.calibration_summary.brier is
    'mean squared difference of score and outcome (1 positive, 0 other); 0 is best';
comment on column ml.calibration_summary.log_loss is
    'mean negative log-likelihood, in nats; 0 is best';
comment on column ml.calibration_summary.spiegelhalter_z is
    'Spiegelhalter statistic of calibration; standard normal when the score is calibrated';
comment on column ml.calibration_summary.p_value is 'two-sided p-value of spiegelhalter_z';
comment on column ml.calibration_summary.level is
    'warning or critical when ece_excess is significant and above its setting, else null';
