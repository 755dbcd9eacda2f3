drop view ml.feature_drift, ml.prediction_drift, ml.data_quality, ml.drift_windows;
drop function ml.set_baseline, ml.count_window, ml.collect_histograms, ml.add_bins, ml.measure_drift, ml.chi_squared_tail,
    ml.chi_squared_critical, ml.normal_tail;
