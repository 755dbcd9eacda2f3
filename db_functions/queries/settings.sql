select s.version, s.enabled, s.min_quality, s.benchmark_symbol, s.label_horizon,
       floor(extract(epoch from s.history_lag) * 1000000)::bigint as history_lag_us,
       s.sla_ms, s.doorbell
from ml.settings s
