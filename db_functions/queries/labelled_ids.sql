-- Labelled patterns of a stretch of time, in the order of time.
select p.id::text
from public.pattern_events p
where p.outcome_label in ('positive', 'neutral', 'negative') and p.outcome_at is not null
  and p.detected_at is not null
  and (%(since)s::timestamptz is null or p.detected_at >= %(since)s)
  and (%(until)s::timestamptz is null or p.detected_at < %(until)s)
order by p.detected_at, p.id
