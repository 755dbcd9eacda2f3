create view ml.shadow_comparison with (security_invoker = true) as
select c.version as challenger, h.version as champion, a.share, a.canary as canary_share,
       a.valid_from as since, d.pattern_type,
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
cross join ml.aliases a
join ml.models c on c.id = a.model_id
cross join ml_internal.champion h
cross join lateral ml_internal.compare_shadow(a.model_id, h.model_id, s.shadow_window) d
cross join lateral (select ml_internal.t_quantile((1 + s.gate_confidence) / 2, d.blocks - 1) as t) t
where a.alias = 'challenger' and a.valid_to is null;
comment on view ml.shadow_comparison is
    'Each challenger against the champion over the newest shadow_window pairs, in all '
    '(pattern_type null) and by pattern type; intervals are two-sided at '
    'gate_confidence, from blocks of time a label window long';
