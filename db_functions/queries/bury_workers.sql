select ml.bury_workers(%(host)s, %(pids)s::integer[], %(worker)s)
