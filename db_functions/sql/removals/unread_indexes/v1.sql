drop index ml.alert_transitions_by_alert;
drop index ml.failures_by_pattern;
