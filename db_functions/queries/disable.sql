select ml.disable(%(reason)s)
