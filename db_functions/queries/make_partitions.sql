select ml.make_partitions()
