drop view ml.metric_counts, ml.feature_counts, ml.cohort_counts, ml.fresh_metrics, ml.fresh_features, ml.fresh_cohorts;
drop function ml.write_batch, ml.write_tally, ml.fold, ml.renumber_logs, ml.freeze_bins, ml.histogram_fault, ml.drop_partitions;
drop table ml.batches, ml.tallies, ml.outcome_changes, ml.folds, ml.metric_rollups, ml.feature_rollups, ml.cohorts,
    ml.baselines, ml.bins;
drop aggregate ml.sum_arrays(double precision[]);
drop function ml.add_arrays, ml.sum_by_bin, ml.ordered_pairs, ml.latency_bin, ml.latency_quantiles;
alter table ml.models drop column score_edges, drop column calibration_edges;
update ml.predictions set role = 'champion' where role = 'standby';
alter table ml.predictions
    drop constraint predictions_role_check,
    add constraint predictions_role_check check (role in ('champion', 'challenger', 'canary', 'replay')),
    drop column pattern_type, drop column timeframe, drop column rule_confidence, drop column blended_confidence,
    drop column threshold;
alter table ml.predictions add constraint predictions_model_id_fkey foreign key (model_id) references ml.models;
comment on column ml.predictions.role is null;
alter table ml.settings
    drop column alert_window, drop column alert_min_rows, drop column sla_warning, drop column sla_critical,
    drop column error_warning, drop column error_critical, drop column fallback_warning, drop column fallback_critical,
    drop column cache_warning, drop column cache_critical, drop column missing_warning, drop column missing_critical,
    drop column stalled_after, drop column psi_warning, drop column psi_critical, drop column drift_alpha,
    drop column drift_window, drop column drift_windows, drop column drift_min_rows, drop column label_min_rows,
    drop column gap_warning, drop column gap_critical, drop column calibration_warning, drop column calibration_critical,
    drop column keep_predictions, drop column keep_minutes;
