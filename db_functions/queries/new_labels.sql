-- How many labelled patterns of a stretch of time were detected after a moment, Unix seconds.
select count(*)
from public.pattern_events p
where p.outcome_label in ('positive', 'neutral', 'negative') and p.outcome_at is not null
  and p.detected_at >= to_timestamp(%(after_s)s + 1)
  and (%(since)s::timestamptz is null or p.detected_at >= %(since)s)
  and (%(until)s::timestamptz is null or p.detected_at < %(until)s)
