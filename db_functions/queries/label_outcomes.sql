select ml.label_outcomes(%(max_rows)s)
