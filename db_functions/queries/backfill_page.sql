-- One page of patterns by key, those that want a score.
select null::bigint, null::timestamptz,
       p.id::text, p.symbol, p.timeframe, p.pattern_type,
       floor(extract(epoch from least(greatest(p.detected_at, '0001-01-01Z'), '9999-12-31Z')) * 1000000)::bigint,
       case when least(p.started_at, p.detected_at) >= '0001-01-01Z' and greatest(p.started_at, p.detected_at) <= '9999-12-31Z'
            and p.started_at is not null then extract(epoch from p.detected_at - p.started_at)::float8 end,
       p.direction::integer,
       -- An adopted column may be numeric, and hold what no double can.
       case when abs(p.support) < 1e300 then case when abs(p.support) > 1e-300 then p.support else 0 end end::float8,
       case when abs(p.resistance) < 1e300 then case when abs(p.resistance) > 1e-300 then p.resistance else 0 end end::float8,
       case when abs(p.target) < 1e300 then case when abs(p.target) > 1e-300 then p.target else 0 end end::float8,
       case when abs(p.entry) < 1e300 then case when abs(p.entry) > 1e-300 then p.entry else 0 end end::float8,
       case when abs(p.stoploss) < 1e300 then case when abs(p.stoploss) > 1e-300 then p.stoploss else 0 end end::float8,
       p.rule_confidence::float8, (p.metadata -> 'market')::text
from public.pattern_events p
where p.id > %(after)s::uuid
  and (%(rescore)s or p.scored_at is null)
  and (%(symbol)s::text is null or p.symbol = %(symbol)s)
  and (%(since)s::timestamptz is null or p.detected_at >= %(since)s)
  and p.detected_at is not null
order by p.id
limit %(limit)s
