create view ml.feature_drift with (security_invoker = true) as
select d.model_version, d.window_start, d.window_end, d.complete, d.kind, d.name, d.n, d.m, d.bins,
       d.psi, d.psi_critical_value, d.p_value, d.p_adjusted, d.jensen_shannon, d.hellinger, d.ks,
       d.mean_shift, d.deviation_ratio, d.missing_share, d.infinite_share, d.unseen_share,
       d.baseline_missing_share, d.baseline_infinite_share, d.baseline_unseen_share,
       d.importance, d.rank, case when d.complete then d.level end as level,
       d.windows_in_a_row
from ml_internal.drift_windows w
cross join lateral ml_internal.measure_drift(w.version, w.since, now(), w.width) d
where d.kind <> 'output';
comment on view ml.feature_drift is
    'How the features and inputs of each model in use differ from its '
    'baseline, in the running window of drift_window and the ten before it';
comment on column ml.feature_drift.model_version is 'the model';
comment on column ml.feature_drift.window_start is 'when the window begins';
comment on column ml.feature_drift.window_end is 'when the window ends';
comment on column ml.feature_drift.complete is 'false: the window is still running';
comment on column ml.feature_drift.kind is 'feature, input or output';
comment on column ml.feature_drift.name is 'name of the variable';
comment on column ml.feature_drift.n is 'live rows in the window';
comment on column ml.feature_drift.m is 'rows of the baseline';
comment on column ml.feature_drift.bins is 'cells with rows in the baseline or the window';
comment on column ml.feature_drift.psi is 'population stability index; 0 is no drift';
comment on column ml.feature_drift.psi_critical_value is
    'the psi that chance alone exceeds with probability drift_alpha';
comment on column ml.feature_drift.p_value is
    'p-value of a chi-squared test of window against baseline';
comment on column ml.feature_drift.p_adjusted is
    'p_value adjusted for the number of variables in the window (Benjamini-Hochberg)';
comment on column ml.feature_drift.jensen_shannon is 'Jensen-Shannon distance, 0 (equal) to 1';
comment on column ml.feature_drift.hellinger is 'Hellinger distance, 0 (equal) to 1';
comment on column ml.feature_drift.ks is
    'largest difference of the cumulative shares (Kolmogorov-Smirnov); null for categories';
comment on column ml.feature_drift.mean_shift is
    'live mean less baseline mean, in standard deviations of the baseline';
comment on column ml.feature_drift.deviation_ratio is
    'live standard deviation over that of the baseline';
comment on column ml.feature_drift.missing_share is 'share of live rows in which it is missing';
comment on column ml.feature_drift.infinite_share is
    'share of live rows in which it is infinite; null for categories';
comment on column ml.feature_drift.unseen_share is
    'share of live rows with a category that the baseline lacks; null for numbers';
comment on column ml.feature_drift.baseline_missing_share is 'missing_share of the baseline';
comment on column ml.feature_drift.baseline_infinite_share is 'infinite_share of the baseline';
comment on column ml.feature_drift.baseline_unseen_share is 'unseen_share of the baseline';
comment on column ml.feature_drift.importance is
    'importance of the feature as training measured it; null where unknown';
comment on column ml.feature_drift.rank is '1 drifts most in its window, psi weighed by importance';
comment on column ml.feature_drift.level is
    'warning or critical when the drift is significant and psi above its setting, else null, as '
    'it is while the window is running';
comment on column ml.feature_drift.windows_in_a_row is
    'windows in a row, up to this one, that have a level';
