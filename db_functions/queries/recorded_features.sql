-- The features recorded with scores of one model, in the order asked; null where there are none any
-- more.
select s.ml_confidence, s.features
from unnest(%(pattern_ids)s::uuid[],
            %(scored_at)s::timestamptz[]) with ordinality w (pattern_id, scored_at, n)
join ml.models m on m.version = %(version)s
left join ml.predictions s on s.pattern_id = w.pattern_id and s.scored_at = w.scored_at
    and s.model_id = m.id
order by w.n
