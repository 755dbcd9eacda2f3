select ml.health_json()
