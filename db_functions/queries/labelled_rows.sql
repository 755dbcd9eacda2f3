-- Labelled patterns in time order, with the outcome and the moment at which it was known.
select
-- include: pattern_columns
       , p.outcome_label, floor(extract(epoch from p.outcome_at))::bigint as outcome_known_at
from public.pattern_events p
where p.outcome_label in ('positive', 'neutral', 'negative') and p.outcome_at is not null
  and p.detected_at is not null
  and (%(since)s::timestamptz is null or p.detected_at >= %(since)s)
  and (%(until)s::timestamptz is null or p.detected_at < %(until)s)
order by p.detected_at, p.id
