select ml.metrics_json(%(grain)s)
