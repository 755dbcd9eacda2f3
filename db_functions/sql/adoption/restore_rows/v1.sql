call ml.restore_rows();
