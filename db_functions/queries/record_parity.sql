select ml.record_parity(%(version)s, %(max_abs_diff)s, %(tolerance)s, %(rows)s, %(runtime)s)
