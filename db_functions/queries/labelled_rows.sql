-- Labelled patterns in time order, with the outcome and the moment at which it was known.
select
       p.id::text, p.symbol, p.timeframe, p.pattern_type,
       floor(extract(epoch from least(greatest(p.detected_at, '0001-01-01Z'), '9999-12-31Z')) * 1000000)::bigint,
       case when least(p.started_at, p.detected_at) >= '0001-01-01Z' and greatest(p.started_at, p.detected_at) <= '9999-12-31Z'
            and p.started_at is not null then extract(epoch from p.detected_at - p.started_at)::float8 end,
       p.direction::integer,
       p.support::float8, p.resistance::float8, p.target::float8, p.entry::float8, p.stoploss::float8,
       p.rule_confidence::float8, (p.metadata -> 'market')::text,
       p.outcome_label, floor(extract(epoch from p.outcome_at))::bigint
from public.pattern_events p
where p.outcome_label in ('positive', 'neutral', 'negative') and p.outcome_at is not null and p.detected_at is not null
  and (%(since)s::timestamptz is null or p.detected_at >= %(since)s)
  and (%(until)s::timestamptz is null or p.detected_at < %(until)s)
order by p.detected_at, p.id
