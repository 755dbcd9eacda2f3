select ml.drop_partitions()
