insert into public.pattern_events (symbol, timeframe, pattern_type, detected_at, entry, stoploss,
                                   target, confidence)
select b.symbol, b.timeframe, 'doctor', b.ts, b.close, b.close * 0.98, b.close * 1.02, 0.5
from public.price_bars b
where b.ts <= now() and b.close > 0
  -- Of the series with the most bars, among a few: a smoke row should find a full window.
  and (b.symbol, b.timeframe) = (select p.symbol, p.timeframe
                                 from (select symbol, timeframe from public.price_bars
                                       limit 10000) p
                                 group by 1, 2 order by count(*) desc limit 1)
order by b.ts desc limit 1
returning id
