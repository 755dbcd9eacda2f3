create view ml.calibration_summary with (security_invoker = true) as
with counted as (
    select m.version as model_version, c.role, c.source, c.score, c.cohort, c.pattern_type,
           c.timeframe, c.labelled, c.positives,
           c.score_sum, c.error, c.own_error, c.own_variance, c.log_loss, e.*
    from ml_internal.cohort_counts c
    join ml.models m on m.id = c.model_id
    cross join lateral (
        -- Of a calibrated model positives - total is about normal, with this variance; its size is
        -- then half-normal.
        select sum(abs(b.positives - b.total)) / c.labelled as ece,
               sqrt(2 / pi()) * sum(sqrt(b.variance)) / c.labelled as ece_expected,
               sqrt((1 - 2 / pi()) * sum(b.variance)) / c.labelled as ece_deviation
        from (select u.positives, u.total, greatest(0, u.total * (1 - u.total / u.n)) as variance
              from unnest(c.calibration, c.calibration_positives, c.calibration_sums)
                  u (n, positives, total)
              where u.n > 0) b
    ) e
    where num_nulls(c.cohort, c.pattern_type, c.timeframe) >= 2 and c.labelled > 0
), tested as (
    select c.*, c.ece - c.ece_expected as ece_excess,
           (c.error - c.own_error) / nullif(sqrt(greatest(0, c.own_variance)), 0) as spiegelhalter_z
    from counted c
)
select t.model_version, t.role, t.source, t.score, t.cohort, t.pattern_type, t.timeframe,
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
    'show: one row per model and score, per week, type, timeframe, or in all';
