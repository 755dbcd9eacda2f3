select ml.rollback(%(reason)s)
