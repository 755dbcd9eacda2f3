-- For each pattern asked for, its newest score: the one that reached the row, or a given model's in
-- any role.
select w.pattern_id, p.id is not null as known, s.version, s.scored_at
from unnest(%(pattern_ids)s::uuid[]) with ordinality w (pattern_id, n)
left join public.pattern_events p on p.id = w.pattern_id
left join lateral (
    select m.version, s.scored_at
    from ml.predictions s join ml.models m on m.id = s.model_id
    where s.pattern_id = w.pattern_id
      and case when %(version)s::text is null then s.role in ('champion', 'canary', 'standby')
               else m.version = %(version)s end
    order by s.scored_at desc limit 1
) s on true
order by w.n
