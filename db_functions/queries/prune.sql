select ml_internal.prune()
