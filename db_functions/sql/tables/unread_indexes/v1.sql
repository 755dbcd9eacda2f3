-- As the revisions that made these tables made them.
create index alert_transitions_by_alert on ml.alert_transitions (alert_id);
create index failures_by_pattern on ml.failures (pattern_id);
