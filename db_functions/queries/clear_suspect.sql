select ml_internal.clear_suspect(%(queue_id)s)
