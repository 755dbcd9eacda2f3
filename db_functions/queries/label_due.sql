select ml_internal.label_due(%(max_rows)s)
