-- When an alert is raised, and how long what is kept.
alter table ml.settings
    add column alert_window interval not null default '15 minutes'
        constraint alert_window_range check (alert_window between interval '1 minute' and interval '1 day'),
    add column alert_min_rows integer not null default 20
        constraint alert_min_rows_range check (alert_min_rows between 1 and 1000000),
    add column sla_warning double precision not null default 0.95
        constraint sla_warning_range check (sla_warning between 0 and 1),
    add column sla_critical double precision not null default 0.90
        constraint sla_critical_range check (sla_critical between 0 and 1),
    add column error_warning double precision not null default 0.05
        constraint error_warning_range check (error_warning between 0 and 1),
    add column error_critical double precision not null default 0.10
        constraint error_critical_range check (error_critical between 0 and 1),
    add column fallback_warning double precision not null default 0.10
        constraint fallback_warning_range check (fallback_warning between 0 and 1),
    add column fallback_critical double precision not null default 0.20
        constraint fallback_critical_range check (fallback_critical between 0 and 1),
    add column cache_warning double precision not null default 0.80
        constraint cache_warning_range check (cache_warning between 0 and 1),
    add column cache_critical double precision not null default 0.60
        constraint cache_critical_range check (cache_critical between 0 and 1),
    add column missing_warning double precision not null default 0.10
        constraint missing_warning_range check (missing_warning between 0 and 1),
    add column missing_critical double precision not null default 0.50
        constraint missing_critical_range check (missing_critical between 0 and 1),
    add column stalled_after interval not null default '1 minute'
        constraint stalled_after_range check (stalled_after between interval '1 second' and interval '1 day'),
    add column psi_warning double precision not null default 0.1
        constraint psi_warning_range check (psi_warning between 0 and 100),
    add column psi_critical double precision not null default 0.25
        constraint psi_critical_range check (psi_critical between 0 and 100),
    add column drift_alpha double precision not null default 0.05
        constraint drift_alpha_range check (drift_alpha > 0 and drift_alpha < 1),
    add column drift_window interval not null default '1 day'
        constraint drift_window_range check (drift_window between interval '1 hour' and interval '30 days'
                                             and extract(epoch from drift_window)::bigint % 3600 = 0),
    add column drift_windows integer not null default 2
        constraint drift_windows_range check (drift_windows between 1 and 10),
    add column drift_min_rows integer not null default 200
        constraint drift_min_rows_range check (drift_min_rows between 30 and 1000000),
    add column label_min_rows integer not null default 200
        constraint label_min_rows_range check (label_min_rows between 30 and 1000000),
    add column gap_warning double precision not null default 0.02
        constraint gap_warning_range check (gap_warning between 0 and 1),
    add column gap_critical double precision not null default 0.05
        constraint gap_critical_range check (gap_critical between 0 and 1),
    add column calibration_warning double precision not null default 0.05
        constraint calibration_warning_range check (calibration_warning between 0 and 1),
    add column calibration_critical double precision not null default 0.10
        constraint calibration_critical_range check (calibration_critical between 0 and 1),
    add column keep_predictions interval not null default '180 days'
        constraint keep_predictions_range check (keep_predictions between interval '1 day' and interval '100 years'),
    add column keep_minutes interval not null default '30 days'
        constraint keep_minutes_range check (keep_minutes between interval '1 day' and interval '100 years');
comment on column ml.settings.alert_window is 'an interval of 1 minute to 1 day: what rates are alerts measured over';
comment on column ml.settings.alert_min_rows is '1 to 1000000 rows: fewer in alert_window raise no alert of a rate';
comment on column ml.settings.sla_warning is '0 to 1: share of rows within sla_ms below which to warn';
comment on column ml.settings.sla_critical is '0 to 1: share of rows within sla_ms below which it is critical';
comment on column ml.settings.error_warning is '0 to 1: share of rows that failed above which to warn';
comment on column ml.settings.error_critical is '0 to 1: share of rows that failed above which it is critical';
comment on column ml.settings.fallback_warning is '0 to 1: share of rows that fell back above which to warn';
comment on column ml.settings.fallback_critical is '0 to 1: share of rows that fell back above which it is critical';
comment on column ml.settings.cache_warning is '0 to 1: share of series found in the bar cache below which to warn';
comment on column ml.settings.cache_critical is '0 to 1: share of series found in the bar cache below which it is critical';
comment on column ml.settings.missing_warning is '0 to 1: rise in the share of missing, infinite or unseen values of a variable above which to warn';
comment on column ml.settings.missing_critical is '0 to 1: rise in the share of missing, infinite or unseen values of a variable above which it is critical';
comment on column ml.settings.stalled_after is 'an interval of 1 second to 1 day: age of the oldest waiting row above which the queue is stalled';
comment on column ml.settings.psi_warning is '0 to 100: population stability index above which to warn, when it is significant too';
comment on column ml.settings.psi_critical is '0 to 100: population stability index above which it is critical, when it is significant too';
comment on column ml.settings.drift_alpha is 'between 0 and 1: share of falsely drifting variables accepted in a window (Benjamini-Hochberg)';
comment on column ml.settings.drift_window is 'whole hours up to 30 days: length of a window in which drift is measured';
comment on column ml.settings.drift_windows is '1 to 10: windows in a row that must drift before an alert';
comment on column ml.settings.drift_min_rows is '30 to 1000000 rows: windows with fewer say nothing about drift';
comment on column ml.settings.label_min_rows is '30 to 1000000 labelled rows: fewer raise no alert of calibration or performance';
comment on column ml.settings.gap_warning is '0 to 1: Brier score above what was expected at which to warn, when it is significant too';
comment on column ml.settings.gap_critical is '0 to 1: Brier score above what was expected at which it is critical, when it is significant too';
comment on column ml.settings.calibration_warning is '0 to 1: calibration error above that of a calibrated model at which to warn, when it is significant too';
comment on column ml.settings.calibration_critical is '0 to 1: calibration error above that of a calibrated model at which it is critical, when it is significant too';
comment on column ml.settings.keep_predictions is 'an interval of at least 1 day: months of ml.predictions older than this are dropped';
comment on column ml.settings.keep_minutes is 'an interval of at least 1 day: counts per minute older than this are dropped; hours and days are kept';
