select ml.fold()
