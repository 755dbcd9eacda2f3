select ml.apply_environment(%(name)s, %(value)s)
