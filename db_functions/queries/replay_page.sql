-- Patterns of the past, a page, with the history values of the score that a replay is
-- compared with.
select
-- include: pattern_columns
       , o.history, o.ml_confidence, o.input_hash, o.same_model
from public.pattern_events p
left join lateral (
    select s.history, s.ml_confidence, s.input_hash, m.version = %(version)s as same_model
    from ml.predictions s join ml.models m on m.id = s.model_id
    where s.pattern_id = p.id and s.role <> 'replay'
    order by m.version = %(version)s desc, s.scored_at desc limit 1
) o on true
where p.id = any (%(ids)s::uuid[])
order by p.symbol, p.timeframe, p.detected_at, p.id
