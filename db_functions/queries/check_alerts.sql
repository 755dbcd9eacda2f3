select ml_internal.check_alerts()
