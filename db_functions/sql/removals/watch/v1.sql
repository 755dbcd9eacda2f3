drop view ml.alert_conditions, ml.alert_drift, ml.alert_performance;
