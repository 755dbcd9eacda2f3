-- Settings: one row now, every change kept. Only ml.set and its kin write here.
create table ml.settings (
    singleton             boolean primary key default true check (singleton),
    version               integer not null default 1,
    enabled               boolean not null default true,
    threshold             double precision not null default 0.5
        constraint threshold_range check (threshold between 0 and 1),
    weights               text not null default 'learned'
        constraint weights_range check (weights in ('learned', 'fixed')),
    ml_weight             double precision not null default 1
        constraint ml_weight_range check (ml_weight between 0 and 1),
    rule_weight           double precision not null default 0
        constraint rule_weight_range check (rule_weight between 0 and 1),
    sla_ms                double precision not null default 75
        constraint sla_ms_range check (sla_ms > 0 and sla_ms < 'Infinity'),
    min_quality           double precision not null default 0.25
        constraint min_quality_range check (min_quality between 0 and 1),
    benchmark_symbol      text,
    label_horizon         integer not null default 20
        constraint label_horizon_range check (label_horizon between 1 and 1000),
    cost_bps              double precision not null default 0
        constraint cost_bps_range check (cost_bps between 0 and 10000),
    history_lag           interval not null default '1 day'
        constraint history_lag_range
            check (history_lag between interval '0' and interval '365 days'),
    doorbell              text not null default 'on'
        constraint doorbell_range check (doorbell in ('on', 'off')),
    alert_window          interval not null default '15 minutes'
        constraint alert_window_range
            check (alert_window between interval '1 minute' and interval '1 day'),
    alert_min_rows        integer not null default 20
        constraint alert_min_rows_range check (alert_min_rows between 1 and 1000000),
    sla_warning           double precision not null default 0.95
        constraint sla_warning_range check (sla_warning between 0 and 1),
    sla_critical          double precision not null default 0.90
        constraint sla_critical_range check (sla_critical between 0 and 1),
    error_warning         double precision not null default 0.05
        constraint error_warning_range check (error_warning between 0 and 1),
    error_critical        double precision not null default 0.10
        constraint error_critical_range check (error_critical between 0 and 1),
    fallback_warning      double precision not null default 0.10
        constraint fallback_warning_range check (fallback_warning between 0 and 1),
    fallback_critical     double precision not null default 0.20
        constraint fallback_critical_range check (fallback_critical between 0 and 1),
    cache_warning         double precision not null default 0.80
        constraint cache_warning_range check (cache_warning between 0 and 1),
    cache_critical        double precision not null default 0.60
        constraint cache_critical_range check (cache_critical between 0 and 1),
    missing_warning       double precision not null default 0.10
        constraint missing_warning_range check (missing_warning between 0 and 1),
    missing_critical      double precision not null default 0.50
        constraint missing_critical_range check (missing_critical between 0 and 1),
    stalled_after         interval not null default '1 minute'
        constraint stalled_after_range
            check (stalled_after between interval '1 second' and interval '1 day'),
    psi_warning           double precision not null default 0.1
        constraint psi_warning_range check (psi_warning between 0 and 100),
    psi_critical          double precision not null default 0.25
        constraint psi_critical_range check (psi_critical between 0 and 100),
    drift_alpha           double precision not null default 0.05
        constraint drift_alpha_range check (drift_alpha > 0 and drift_alpha < 1),
    drift_window          interval not null default '1 day'
        constraint drift_window_range
            check (drift_window between interval '1 hour' and interval '30 days'
                   and extract(epoch from drift_window)::bigint % 3600 = 0),
    drift_windows         integer not null default 2
        constraint drift_windows_range check (drift_windows between 1 and 10),
    drift_min_rows        integer not null default 200
        constraint drift_min_rows_range check (drift_min_rows between 30 and 1000000),
    label_min_rows        integer not null default 200
        constraint label_min_rows_range check (label_min_rows between 30 and 1000000),
    gap_warning           double precision not null default 0.02
        constraint gap_warning_range check (gap_warning between 0 and 1),
    gap_critical          double precision not null default 0.05
        constraint gap_critical_range check (gap_critical between 0 and 1),
    calibration_warning   double precision not null default 0.05
        constraint calibration_warning_range check (calibration_warning between 0 and 1),
    calibration_critical  double precision not null default 0.10
        constraint calibration_critical_range check (calibration_critical between 0 and 1),
    keep_predictions      interval not null default '180 days'
        constraint keep_predictions_range
            check (keep_predictions between interval '1 day' and interval '100 years'),
    keep_minutes          interval not null default '30 days'
        constraint keep_minutes_range
            check (keep_minutes between interval '1 day' and interval '100 years'),
    label_every           interval not null default '1 hour'
        constraint label_every_range
            check (label_every between interval '1 minute' and interval '365 days'),
    shadow_window         integer not null default 10000
        constraint shadow_window_range check (shadow_window between 100 and 100000),
    gate_pairs            integer not null default 500
        constraint gate_pairs_range check (gate_pairs between 0 and 100000),
    gate_labels           integer not null default 500
        constraint gate_labels_range check (gate_labels between 0 and 100000),
    gate_confidence       double precision not null default 0.95
        constraint gate_confidence_range
            check (gate_confidence >= 0.5 and gate_confidence <= 0.999),
    gate_margin           double precision not null default 0.002
        constraint gate_margin_range check (gate_margin between 0 and 0.1),
    gate_calibration      double precision not null default 0.05
        constraint gate_calibration_range check (gate_calibration > 0 and gate_calibration <= 1),
    announce              text not null default 'off'
        constraint announce_range check (announce in ('on', 'off')),
    environment           text not null default 'on'
        constraint environment_range check (environment in ('on', 'off'))
);
comment on table ml.settings is
    'What the system does now, one row; change it with ml.set(name, value, reason)';
comment on column ml.settings.enabled is
    'true or false: whether ML may change the effective confidence';
comment on column ml.settings.threshold is
    '0 to 1: the rule confidence stands where the larger of ml_confidence and 1 - ml_confidence '
    'is below it; 0.5 always blends';
comment on column ml.settings.weights is
    'learned or fixed: learned weights are what served best on rows that the model has not seen; '
    'setting a weight makes them fixed';
comment on column ml.settings.ml_weight is '0 to 1: weight of the ML confidence in the blend';
comment on column ml.settings.rule_weight is '0 to 1: weight of the rule confidence in the blend';
comment on column ml.settings.sla_ms is 'milliseconds above 0: service level from insert to score';
comment on column ml.settings.min_quality is
    '0 to 1: least share of features present for a score to be used';
comment on column ml.settings.benchmark_symbol is
    'a symbol in price_bars, or empty for none: the market beside which patterns are seen';
comment on column ml.settings.label_horizon is
    '1 to 1000 bars: how long a pattern has to reach target or stop';
comment on column ml.settings.cost_bps is
    '0 to 10000 basis points of the price: what getting in and out costs together, for '
    'expected values';
comment on column ml.settings.history_lag is
    'an interval of 0 to 365 days: outcomes younger than this are not yet known to the history '
    'inputs';
comment on column ml.settings.doorbell is
    'on or off: off never sends NOTIFY (needed for two-phase commit), workers poll';
comment on column ml.settings.alert_window is
    'an interval of 1 minute to 1 day: what rates are alerts measured over';
comment on column ml.settings.alert_min_rows is
    '1 to 1000000 rows: fewer in alert_window raise no alert of a rate';
comment on column ml.settings.sla_warning is
    '0 to 1: share of rows within sla_ms below which to warn';
comment on column ml.settings.sla_critical is
    '0 to 1: share of rows within sla_ms below which it is critical';
comment on column ml.settings.error_warning is
    '0 to 1: share of rows that failed above which to warn';
comment on column ml.settings.error_critical is
    '0 to 1: share of rows that failed above which it is critical';
comment on column ml.settings.fallback_warning is
    '0 to 1: share of rows that fell back above which to warn';
comment on column ml.settings.fallback_critical is
    '0 to 1: share of rows that fell back above which it is critical';
comment on column ml.settings.cache_warning is
    '0 to 1: share of series found in the bar cache below which to warn';
comment on column ml.settings.cache_critical is
    '0 to 1: share of series found in the bar cache below which it is critical';
comment on column ml.settings.missing_warning is
    '0 to 1: rise in the share of missing, infinite or unseen values of a variable above which '
    'to warn';
comment on column ml.settings.missing_critical is
    '0 to 1: rise in the share of missing, infinite or unseen values of a variable above which '
    'it is critical';
comment on column ml.settings.stalled_after is
    'an interval of 1 second to 1 day: age of the oldest waiting row above which the queue is '
    'stalled';
comment on column ml.settings.psi_warning is
    '0 to 100: population stability index above which to warn, when it is significant too';
comment on column ml.settings.psi_critical is
    '0 to 100: population stability index above which it is critical, when it is significant '
    'too';
comment on column ml.settings.drift_alpha is
    'between 0 and 1: share of falsely drifting variables accepted in a window '
    '(Benjamini-Hochberg)';
comment on column ml.settings.drift_window is
    'whole hours up to 30 days: length of a window in which drift is measured';
comment on column ml.settings.drift_windows is
    '1 to 10: windows in a row that must drift before an alert';
comment on column ml.settings.drift_min_rows is
    '30 to 1000000 rows: windows with fewer say nothing about drift';
comment on column ml.settings.label_min_rows is
    '30 to 1000000 labelled rows: fewer raise no alert of calibration or performance';
comment on column ml.settings.gap_warning is
    '0 to 1: Brier score above what was expected at which to warn, when it is significant too';
comment on column ml.settings.gap_critical is
    '0 to 1: Brier score above what was expected at which it is critical, when it is '
    'significant too';
comment on column ml.settings.calibration_warning is
    '0 to 1: calibration error above that of a calibrated model at which to warn, when it is '
    'significant too';
comment on column ml.settings.calibration_critical is
    '0 to 1: calibration error above that of a calibrated model at which it is critical, when '
    'it is significant too';
comment on column ml.settings.keep_predictions is
    'an interval of at least 1 day: months of ml.predictions older than this are dropped';
comment on column ml.settings.keep_minutes is
    'an interval of at least 1 day: counts per minute older than this are dropped; hours and '
    'days are kept';
comment on column ml.settings.label_every is
    'an interval of 1 minute to 365 days: how often workers label outcomes';
comment on column ml.settings.shadow_window is
    '100 to 100000: the newest pairs of scores that a comparison of challenger and champion '
    'looks at';
comment on column ml.settings.gate_pairs is
    '0 to 100000: rows that a challenger must have scored beside the champion before it is '
    'promoted; 0 asks for no comparison at all';
comment on column ml.settings.gate_labels is
    '0 to 100000: of those rows, how many must have an outcome by now';
comment on column ml.settings.gate_confidence is
    '0.5 to 0.999: how sure it must be that a challenger is not worse than the champion';
comment on column ml.settings.gate_margin is
    '0 to 0.1: by how much Brier score a challenger may be worse and still count as not worse; 0 '
    'asks that it is better';
comment on column ml.settings.gate_calibration is
    'above 0, to 1: largest calibration error that a challenger may show';
comment on column ml.settings.announce is
    'on or off: on sends the ids of new rows that were scored or fell back to listeners of '
    'ml_scored';
comment on column ml.settings.environment is
    'on or off: off takes no setting from the environment of a worker';
insert into ml.settings default values;
