select s.enabled, s.ml_weight + s.rule_weight > 0 as any_weight, s.benchmark_symbol,
       s.benchmark_symbol is null
       or exists (select from public.price_bars b
                  where b.symbol = s.benchmark_symbol) as benchmark_has_bars,
       s.label_horizon,
       (select m.label_horizon
        from ml_internal.champion c join ml.models m on m.id = c.model_id) as model_horizon
from ml.settings s
