select s.benchmark_symbol as benchmark,
       floor(extract(epoch from s.history_lag) * 1000000)::bigint as history_lag_us,
       s.label_horizon
from ml.settings s
