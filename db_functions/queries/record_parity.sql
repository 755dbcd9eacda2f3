select ml_internal.record_parity(%(version)s, %(max_abs_diff)s, %(tolerance)s, %(rows)s,
                                 %(runtime)s)
