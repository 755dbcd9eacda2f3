drop view ml.health, ml.alerts, ml.alert_conditions, ml.alert_rates, ml.alert_states, ml.metrics, ml.metrics_history;
drop function ml.label_due, ml.check_alerts, ml.acknowledge, ml.metrics_between, ml.score_quantiles;
drop table ml.alert_transitions, ml.alert_log, ml.schedule;
alter table ml.settings drop column label_every;
drop index ml.failures_open;
