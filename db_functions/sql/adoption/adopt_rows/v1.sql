call ml.adopt_rows();
