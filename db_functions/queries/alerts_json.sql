select ml.alerts_json()
