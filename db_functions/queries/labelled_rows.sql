-- Those of some patterns that are labelled, in time order, with the outcome, the moment at which it
-- was known, and the end of the label horizon.
select
-- include: pattern_columns
       , p.outcome_label, floor(extract(epoch from p.outcome_at))::bigint as outcome_at,
       -- Fewer bars than the horizon has, as under an analyst's early label: the newest there is.
       floor(extract(epoch from greatest(p.outcome_at, (
           select max(f.ts) from (
               select b.ts from public.price_bars b
               where b.symbol = p.symbol and b.timeframe = p.timeframe and b.ts > p.detected_at
               order by b.ts limit s.label_horizon) f))))::bigint as horizon_at
from public.pattern_events p, ml.settings s
where p.id = any(%(ids)s::uuid[]) and p.detected_at is not null
  and p.outcome_label in ('positive', 'neutral', 'negative') and p.outcome_at is not null
order by p.detected_at, p.id
