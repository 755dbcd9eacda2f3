select ml_internal.finish_page(%(job)s, %(page)s, %(found)s)
