create view ml.feature_drift with (security_invoker = true) as
select d.model_version, d.window_start, d.window_end, d.complete, d.kind, d.name, d.n, d.m, d.bins,
       d.psi, d.psi_critical_value, d.p_value, d.p_adjusted, d.jensen_shannon, d.hellinger, d.ks,
       d.mean_shift, d.deviation_ratio, d.missing_share, d.infinite_share, d.unseen_share,
       d.baseline_missing_share, d.baseline_infinite_share, d.baseline_unseen_share,
       d.importance, d.rank, d.level, d.windows_in_a_row
from ml_internal.drift_windows w
cross join lateral ml_internal.measure_drift(w.version, w.since, now(), w.width) d
where d.kind <> 'output';
comment on view ml.feature_drift is
    'How the features and inputs of each model in use differ from its '
    'baseline, in the running window of drift_window and the ten before it';
