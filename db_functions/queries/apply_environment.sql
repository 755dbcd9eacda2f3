select ml_internal.apply_environment(%(name)s, %(value)s)
