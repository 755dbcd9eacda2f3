create view ml.performance_estimated with (security_invoker = true) as
select c.cohort, m.version as model_version, c.role, c.source, c.pattern_type, c.timeframe, c.score,
       c.predictions, c.expected_positives / c.predictions as base_rate, c.called,
       c.expected_hits / nullif(c.called, 0) as precision,
       c.expected_hits / nullif(c.expected_positives, 0) as recall,
       c.expected_error / c.predictions as brier, c.expected_log_loss / c.predictions as log_loss,
       c.expected_pairs / nullif(c.expected_positives * (c.predictions - c.expected_positives),
                                 0) as roc_auc
from ml_internal.cohort_counts c
join ml.models m on m.id = c.model_id
where c.predictions > 0;
comment on view ml.performance_estimated is
    'How good predictions are, of the model, the rule and the blend, '
    'if ml_confidence is calibrated: known before any label is';
