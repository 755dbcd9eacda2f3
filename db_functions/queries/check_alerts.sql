select ml.check_alerts()
