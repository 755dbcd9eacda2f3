alter view ml.alert_drift owner to ml_owner;
alter view ml.alert_performance owner to ml_owner;
grant select on ml.alert_drift, ml.alert_performance to ml_worker, ml_analyst, ml_publisher, ml_operator;
