-- One page of patterns by key, those that want a score.
select null::bigint, null::timestamptz,
       p.id::text, p.symbol, p.timeframe, p.pattern_type,
       floor(extract(epoch from least(greatest(p.detected_at, '0001-01-01Z'), '9999-12-31Z')) * 1000000)::bigint,
       case when least(p.started_at, p.detected_at) >= '0001-01-01Z' and greatest(p.started_at, p.detected_at) <= '9999-12-31Z'
            and p.started_at is not null then extract(epoch from p.detected_at - p.started_at)::float8 end,
       p.direction::integer,
       p.support::float8, p.resistance::float8, p.target::float8, p.entry::float8, p.stoploss::float8,
       p.rule_confidence::float8, (p.metadata -> 'market')::text
from public.pattern_events p
where p.id > %(after)s::uuid
  and (%(rescore)s or p.scored_at is null)
  and (%(symbol)s::text is null or p.symbol = %(symbol)s)
  and (%(since)s::timestamptz is null or p.detected_at >= %(since)s)
  and p.detected_at is not null
order by p.id
limit %(limit)s
