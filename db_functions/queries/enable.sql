select ml.enable(%(reason)s)
