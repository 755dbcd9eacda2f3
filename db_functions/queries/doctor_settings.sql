select s.enabled, s.ml_weight + s.rule_weight > 0 as any_weight, s.benchmark_symbol,
       s.benchmark_symbol is null
           or exists (select from public.price_bars b
                      where b.symbol = s.benchmark_symbol) as benchmark_has_bars
from ml.settings s
