create view ml.data_quality with (security_invoker = true) as
select d.model_version, d.window_start, d.window_end, d.complete, d.kind, d.name, d.n, d.m,
       d.missing_share, d.infinite_share, d.unseen_share, d.baseline_missing_share,
       d.baseline_infinite_share, d.baseline_unseen_share, d.rise, d.rise_p_value as p_value,
       d.rise_p_adjusted as p_adjusted, d.quality_level as level,
       d.quality_windows_in_a_row as windows_in_a_row
from ml_internal.drift_windows w
cross join lateral ml_internal.measure_drift(w.version, w.since, now(), w.width) d;
comment on view ml.data_quality is
    'Shares of missing, infinite and unseen values beside those of the '
    'baseline, in the running window of drift_window and the ten before it';
