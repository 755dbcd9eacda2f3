drop view ml.calibration, ml.calibration_summary, ml.performance_realised, ml.performance_estimated, ml.performance_gap;
drop function ml.wilson;
