-- Patterns of a page that still want a score.
select
-- include: pattern_columns
from public.pattern_events p
where p.id = any (%(ids)s::uuid[])
  and (%(rescore)s or p.scored_at is null)
  and p.detected_at is not null
order by p.symbol, p.timeframe, p.detected_at, p.id
