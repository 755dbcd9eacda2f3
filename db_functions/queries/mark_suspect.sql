select ml.mark_suspect(%(queue_id)s)
