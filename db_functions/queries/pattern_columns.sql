-- The columns of Pattern (db_functions/gather.py), by its names: the same for claim, backfill and
-- training.
       p.id::text as id, p.symbol, p.timeframe, p.pattern_type,
       floor(extract(epoch from least(greatest(p.detected_at, '0001-01-01Z'), '9999-12-31Z'))
             * 1000000)::bigint as detected_at_us,
       case when least(p.started_at, p.detected_at) >= '0001-01-01Z'
                 and greatest(p.started_at, p.detected_at) <= '9999-12-31Z'
                 and p.started_at is not null
            then extract(epoch from p.detected_at - p.started_at)::float8 end as duration_s,
       p.direction::integer as direction,
       -- An adopted column may be numeric, and hold what no double can.
       case when abs(p.support) < 1e300
            then case when abs(p.support) > 1e-300 then p.support else 0 end
            end::float8 as support,
       case when abs(p.resistance) < 1e300
            then case when abs(p.resistance) > 1e-300 then p.resistance else 0 end
            end::float8 as resistance,
       case when abs(p.target) < 1e300
            then case when abs(p.target) > 1e-300 then p.target else 0 end
            end::float8 as target,
       case when abs(p.entry) < 1e300
            then case when abs(p.entry) > 1e-300 then p.entry else 0 end
            end::float8 as entry,
       case when abs(p.stoploss) < 1e300
            then case when abs(p.stoploss) > 1e-300 then p.stoploss else 0 end
            end::float8 as stoploss,
       -- Loaded while no trigger fired, a row has its confidence alone.
       coalesce(p.rule_confidence, case when p.scored_at is null then p.confidence end)::float8
           as rule_confidence, (p.metadata -> 'market')::text as market_json
