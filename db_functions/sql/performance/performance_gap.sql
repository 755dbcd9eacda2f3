create view ml.performance_gap with (security_invoker = true) as
with counted as (
    select m.version as model_version, c.*,
           (c.error - c.labelled_expected_error) / c.labelled as gap,
           sqrt(greatest(0, c.labelled_error_variance)) / c.labelled as standard_error
    from ml_internal.cohort_counts c join ml.models m on m.id = c.model_id
    where c.labelled > 0
)
select c.cohort, c.model_version, c.role, c.source, c.pattern_type, c.timeframe, c.score,
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
