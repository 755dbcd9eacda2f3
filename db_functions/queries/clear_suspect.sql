select ml.clear_suspect(%(queue_id)s)
