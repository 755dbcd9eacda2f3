select ml_internal.write_tally(%(role)s, %(model)s, %(source)s, %(written_at)s, %(rows)s, %(cells)s, %(counts)s, %(sums)s, %(squares)s)
