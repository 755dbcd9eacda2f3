select (select count(*) from ml.health), (select count(*) from ml.metrics), (select count(*) from ml.metrics_history),
       (select count(*) from ml.alerts), (select count(*) from ml.queue_status), (select count(*) from ml.model_timeline)
