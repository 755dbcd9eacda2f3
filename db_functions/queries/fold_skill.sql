select ml_internal.fold_skill()
