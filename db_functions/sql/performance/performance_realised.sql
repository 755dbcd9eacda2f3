create view ml.performance_realised with (security_invoker = true) as
select c.cohort, c.detected_month, m.version as model_version, c.role, c.source,
       c.pattern_type, c.timeframe, c.score,
       c.predictions, c.labelled,
       c.labelled::double precision / nullif(c.predictions, 0) as matured,
       c.positives::double precision / nullif(c.labelled, 0) as base_rate,
       ml_internal.wilson(c.positives, c.labelled, -1) as base_rate_low,
       ml_internal.wilson(c.positives, c.labelled, 1) as base_rate_high,
       c.labelled_called as called,
       c.hits::double precision / nullif(c.labelled_called, 0) as precision,
       ml_internal.wilson(c.hits, c.labelled_called, -1) as precision_low,
       ml_internal.wilson(c.hits, c.labelled_called, 1) as precision_high,
       c.hits::double precision / nullif(c.positives, 0) as recall,
       ml_internal.wilson(c.hits, c.positives, -1) as recall_low,
       ml_internal.wilson(c.hits, c.positives, 1) as recall_high,
       c.error / nullif(c.labelled, 0) as brier, c.log_loss / nullif(c.labelled, 0) as log_loss,
       c.pairs / nullif(c.positives::double precision * (c.labelled - c.positives), 0) as roc_auc
from ml_internal.cohort_counts c
join ml.models m on m.id = c.model_id;
comment on view ml.performance_realised is
    'How good predictions turned out to be, of each of the five scores, by week or detected '
    'month, pattern type and timeframe, and in all (null); unseen rows, and those that are no '
    'evidence apart as source seen_in_training';
comment on column ml.performance_realised.cohort is
    'the Monday (UTC) of the week in which the predictions were made; null: all weeks';
comment on column ml.performance_realised.detected_month is
    'the first day (UTC) of the month that the patterns were detected in; null: all months';
comment on column ml.performance_realised.model_version is 'the model';
comment on column ml.performance_realised.role is
    'as whom the model scored: champion, canary, standby or challenger';
comment on column ml.performance_realised.source is
    'live (rows scored as they came), backfill, or seen_in_training: no evidence, the model may '
    'have learned from these rows';
comment on column ml.performance_realised.pattern_type is 'null: all pattern types together';
comment on column ml.performance_realised.timeframe is 'null: all timeframes together';
comment on column ml.performance_realised.score is
    'whose probability: ml, rule, blended, served (what applications read when the row was scored) '
    'or first_passage (of models that compute it)';
comment on column ml.performance_realised.predictions is 'predictions that have this score';
comment on column ml.performance_realised.labelled is 'predictions whose outcome is known';
comment on column ml.performance_realised.matured is
    'share of predictions whose outcome is known, 0 to 1';
comment on column ml.performance_realised.base_rate is 'share of positive outcomes';
comment on column ml.performance_realised.base_rate_low is
    'lower end of the 95 % Wilson interval of base_rate';
comment on column ml.performance_realised.base_rate_high is
    'upper end of the 95 % Wilson interval of base_rate';
comment on column ml.performance_realised.called is
    'labelled predictions whose score was at or above the threshold of their moment';
comment on column ml.performance_realised.precision is 'share of positive outcomes among called';
comment on column ml.performance_realised.precision_low is
    'lower end of the 95 % Wilson interval of precision';
comment on column ml.performance_realised.precision_high is
    'upper end of the 95 % Wilson interval of precision';
comment on column ml.performance_realised.recall is 'share of positive outcomes that were called';
comment on column ml.performance_realised.recall_low is
    'lower end of the 95 % Wilson interval of recall';
comment on column ml.performance_realised.recall_high is
    'upper end of the 95 % Wilson interval of recall';
comment on column ml.performance_realised.brier is
    'mean squared difference of score and outcome; 0 is best';
comment on column ml.performance_realised.log_loss is
    'mean negative log-likelihood, in nats; 0 is best';
comment on column ml.performance_realised.roc_auc is
    'area under the ROC curve, ties within a bin counting half; 0.5 is no skill, 1 is best';
