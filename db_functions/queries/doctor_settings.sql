select s.enabled, s.ml_weight + s.rule_weight > 0, s.benchmark_symbol,
       s.benchmark_symbol is null or exists (select from public.price_bars b where b.symbol = s.benchmark_symbol)
from ml.settings s
