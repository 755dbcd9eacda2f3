select ml_internal.take_page(%(job)s, %(page)s)
