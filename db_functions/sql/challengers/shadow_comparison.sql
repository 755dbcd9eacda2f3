create view ml.shadow_comparison with (security_invoker = true) as
select c.version as challenger, h.version as champion, c.share, c.canary as canary_share,
       c.valid_from as since, d.pattern_type,
       d.pairs, d.canary as canary_pairs, d.mean_difference, d.mean_distance, d.disagreement,
       d.inference_p99_ms, d.labels, d.blocks,
       d.challenger_brier, d.champion_brier, d.brier_difference,
       d.brier_difference - t.t * d.brier_error as brier_low,
       d.brier_difference + t.t * d.brier_error as brier_high,
       d.challenger_log_loss, d.champion_log_loss, d.log_loss_difference,
       d.log_loss_difference - t.t * d.log_loss_error as log_loss_low,
       d.log_loss_difference + t.t * d.log_loss_error as log_loss_high,
       d.challenger_roc_auc, d.champion_roc_auc, d.roc_auc_difference,
       d.roc_auc_difference - t.t * d.roc_auc_error as roc_auc_low,
       d.roc_auc_difference + t.t * d.roc_auc_error as roc_auc_high,
       d.calibration_error
from ml.settings s
cross join ml_internal.challengers c
cross join ml_internal.champion h
cross join lateral ml_internal.compare_shadow(c.model_id, h.model_id, s.shadow_window) d
cross join lateral (
    select ml_internal.t_quantile((1 + s.gate_confidence) / 2, d.blocks - 1) as t) t;
comment on view ml.shadow_comparison is
    'Each challenger against the champion over the newest shadow_window pairs, in all '
    '(pattern_type null) and by pattern type; intervals are two-sided at '
    'gate_confidence, from blocks of time a label window long';
comment on column ml.shadow_comparison.challenger is 'version of the challenger';
comment on column ml.shadow_comparison.champion is 'version of the champion';
comment on column ml.shadow_comparison.share is
    'share of the rows that the challenger scores, 0 to 1';
comment on column ml.shadow_comparison.canary_share is 'share of the rows that it serves, 0 to 1';
comment on column ml.shadow_comparison.since is 'when it began to challenge';
comment on column ml.shadow_comparison.pattern_type is 'null: all pattern types together';
comment on column ml.shadow_comparison.pairs is
    'rows that both have scored, of the newest shadow_window';
comment on column ml.shadow_comparison.canary_pairs is 'pairs in which the challenger served';
comment on column ml.shadow_comparison.mean_difference is
    'mean of challenger less champion, in ml_confidence';
comment on column ml.shadow_comparison.mean_distance is
    'mean of |challenger - champion|, in ml_confidence';
comment on column ml.shadow_comparison.disagreement is
    'share of pairs with only one of the two at or above the threshold';
comment on column ml.shadow_comparison.inference_p99_ms is
    '99 % quantile of the time that the challenger took for a batch, milliseconds';
comment on column ml.shadow_comparison.labels is 'pairs whose outcome is known';
comment on column ml.shadow_comparison.blocks is
    'blocks of time, a label window long, that these fall into';
comment on column ml.shadow_comparison.challenger_brier is 'Brier score of the challenger';
comment on column ml.shadow_comparison.champion_brier is 'Brier score of the champion';
comment on column ml.shadow_comparison.brier_difference is
    'Brier score of challenger less champion: below 0 is better';
comment on column ml.shadow_comparison.brier_low is
    'lower end of the interval of brier_difference at gate_confidence';
comment on column ml.shadow_comparison.brier_high is
    'upper end of the interval of brier_difference at gate_confidence';
comment on column ml.shadow_comparison.challenger_log_loss is 'log loss of the challenger';
comment on column ml.shadow_comparison.champion_log_loss is 'log loss of the champion';
comment on column ml.shadow_comparison.log_loss_difference is
    'log loss of challenger less champion: below 0 is better';
comment on column ml.shadow_comparison.log_loss_low is
    'lower end of the interval of log_loss_difference at gate_confidence';
comment on column ml.shadow_comparison.log_loss_high is
    'upper end of the interval of log_loss_difference at gate_confidence';
comment on column ml.shadow_comparison.challenger_roc_auc is
    'area under the ROC curve of the challenger';
comment on column ml.shadow_comparison.champion_roc_auc is
    'area under the ROC curve of the champion';
comment on column ml.shadow_comparison.roc_auc_difference is
    'area under the ROC curve of challenger less champion: above 0 is better';
comment on column ml.shadow_comparison.roc_auc_low is
    'lower end of the interval of roc_auc_difference at gate_confidence';
comment on column ml.shadow_comparison.roc_auc_high is
    'upper end of the interval of roc_auc_difference at gate_confidence';
comment on column ml.shadow_comparison.calibration_error is
    'of the challenger: root of the mean squared calibration error '
    'over ten bins of equal mass, less chance';
