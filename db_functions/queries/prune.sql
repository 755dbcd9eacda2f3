select ml_internal.prune() + ml_internal.prune_questions()
