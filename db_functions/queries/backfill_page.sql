-- One page of patterns by key, those that want a score.
select
-- include: pattern_columns
from public.pattern_events p
where p.id > %(after)s::uuid
  and (%(rescore)s or p.scored_at is null)
  and (%(symbol)s::text is null or p.symbol = %(symbol)s)
  and (%(since)s::timestamptz is null or p.detected_at >= %(since)s)
  and p.detected_at is not null
order by p.id
limit %(limit)s
