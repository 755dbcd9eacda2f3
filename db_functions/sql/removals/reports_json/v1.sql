drop function ml.page_json(), ml.alerts_json(), ml.metrics_json(text), ml.health_json();
