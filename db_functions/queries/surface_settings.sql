-- What a surface obeys.
select s.label_horizon as horizon, s.cost_bps from ml.settings s
