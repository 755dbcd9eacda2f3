select ml.start_worker(%(host)s, %(pid)s, %(version)s, %(kind)s)
