select ml_internal.make_partitions();
