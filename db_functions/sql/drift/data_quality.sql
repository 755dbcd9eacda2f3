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
comment on column ml.data_quality.model_version is 'the model';
comment on column ml.data_quality.window_start is 'when the window begins';
comment on column ml.data_quality.window_end is 'when the window ends';
comment on column ml.data_quality.complete is 'false: the window is still running';
comment on column ml.data_quality.kind is 'feature, input or output';
comment on column ml.data_quality.name is 'name of the variable';
comment on column ml.data_quality.n is 'live rows in the window';
comment on column ml.data_quality.m is 'rows of the baseline';
comment on column ml.data_quality.missing_share is 'share of live rows in which it is missing';
comment on column ml.data_quality.infinite_share is
    'share of live rows in which it is infinite; null for categories';
comment on column ml.data_quality.unseen_share is
    'share of live rows with a category that the baseline lacks; null for numbers';
comment on column ml.data_quality.baseline_missing_share is 'missing_share of the baseline';
comment on column ml.data_quality.baseline_infinite_share is 'infinite_share of the baseline';
comment on column ml.data_quality.baseline_unseen_share is 'unseen_share of the baseline';
comment on column ml.data_quality.rise is
    'rise in the share of missing values, or of infinite or unseen ones, whichever rose more';
comment on column ml.data_quality.p_value is
    'p-value of the rise: how often chance alone would give as much';
comment on column ml.data_quality.p_adjusted is
    'p_value adjusted for the number of variables in the window (Benjamini-Hochberg)';
comment on column ml.data_quality.level is
    'warning or critical when the rise is significant and above its setting, else null';
comment on column ml.data_quality.windows_in_a_row is
    'windows in a row, up to this one, that have a level';
