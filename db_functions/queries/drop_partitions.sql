select ml_internal.drop_partitions()
