select ml.label_due(%(max_rows)s)
