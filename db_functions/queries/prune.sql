select ml.prune()
