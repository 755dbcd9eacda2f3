select ml_internal.start_worker(%(host)s, %(pid)s, %(version)s, %(kind)s)
