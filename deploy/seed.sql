-- Invented bars, and patterns on the newest of them: something to score. Again, it adds nothing.
begin;
select setseed(0.5);
insert into price_bars (symbol, timeframe, ts, open, high, low, close, volume)
select symbol, '1d', date_trunc('day', now()) - (200 - n) * interval '1 day',
       close, close * 1.01, close * 0.99, close, 1000 + n
from (select symbol, n, 100 * exp(sum(0.012 * (random() + random() + random() - 1.5))
                                  over (partition by symbol order by n)) as close
      from unnest(array['ACME', 'BOLT', 'CORE']) symbol, generate_series(1, 200) n) walk
where not exists (select from price_bars);
insert into pattern_events (symbol, timeframe, pattern_type, detected_at, entry, stoploss, target, confidence)
select symbol, timeframe, 'flag', ts, close, close * 0.97, close * 1.06, 0.6
from price_bars
where ts > now() - interval '20 days' and not exists (select from pattern_events);
commit;
