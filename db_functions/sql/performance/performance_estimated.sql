create view ml.performance_estimated with (security_invoker = true) as
select c.cohort, c.detected_month, m.version as model_version, c.role, c.source,
       c.pattern_type, c.timeframe, c.score,
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
    'How good predictions are, of each of the five scores, '
    'if ml_confidence is calibrated: known before any label is';
comment on column ml.performance_estimated.cohort is
    'the Monday (UTC) of the week in which the predictions were made; null: all weeks';
comment on column ml.performance_estimated.detected_month is
    'the first day (UTC) of the month that the patterns were detected in; null: all months';
comment on column ml.performance_estimated.model_version is 'the model';
comment on column ml.performance_estimated.role is
    'as whom the model scored: champion, canary, standby or challenger';
comment on column ml.performance_estimated.source is
    'live (rows scored as they came), backfill, or seen_in_training: no evidence, the model may '
    'have learned from these rows';
comment on column ml.performance_estimated.pattern_type is 'null: all pattern types together';
comment on column ml.performance_estimated.timeframe is 'null: all timeframes together';
comment on column ml.performance_estimated.score is
    'whose probability: ml, rule, blended, served (what applications read when the row was scored) '
    'or first_passage (of models that compute it)';
comment on column ml.performance_estimated.predictions is 'predictions that have this score';
comment on column ml.performance_estimated.base_rate is
    'share of positive outcomes that the model expects';
comment on column ml.performance_estimated.called is
    'predictions whose score was at or above the threshold of their moment';
comment on column ml.performance_estimated.precision is
    'share of positive outcomes expected among called';
comment on column ml.performance_estimated.recall is
    'share of the expected positive outcomes that were called';
comment on column ml.performance_estimated.brier is
    'expected squared difference of score and outcome; 0 is best';
comment on column ml.performance_estimated.log_loss is
    'expected negative log-likelihood, in nats; 0 is best';
comment on column ml.performance_estimated.roc_auc is
    'expected area under the ROC curve; 0.5 is no skill, 1 is best';
