select ml_internal.finish_job(%(job)s)
