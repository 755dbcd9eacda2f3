select ml_internal.mark_suspect(%(queue_id)s)
