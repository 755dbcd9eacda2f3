select ml_internal.pin_job(%(job)s, %(models)s::integer[], %(bits)s)
