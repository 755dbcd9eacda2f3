select ml_internal.fold()
