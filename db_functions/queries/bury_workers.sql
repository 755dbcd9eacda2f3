select ml_internal.bury_workers(%(host)s, %(pids)s::integer[], %(worker)s)
