select (select count(*) from ml.health) as health, (select count(*) from ml.metrics) as metrics,
       (select count(*) from ml.metrics_history) as metrics_history,
       (select count(*) from ml.alerts) as alerts,
       (select count(*) from ml.queue_status) as queue_status,
       (select count(*) from ml.model_timeline) as model_timeline
