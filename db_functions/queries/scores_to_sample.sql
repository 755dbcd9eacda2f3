-- The scores that fall into a share by the pattern's hash and were not explained with it yet; a
-- model's together.
select s.pattern_id, m.version, s.scored_at
from ml.predictions s
join ml.models m on m.id = s.model_id
where s.scored_at >= %(since)s
  and (%(until)s::timestamptz is null or s.scored_at < %(until)s)
  and case when %(version)s::text is null then s.role in ('champion', 'canary', 'standby')
           else m.version = %(version)s and s.role <> 'replay' end
  and ml_internal.fraction_of(s.pattern_id) < %(share)s
  and not exists (select from ml_internal.attributed_scores a
                  where a.pattern_id = s.pattern_id and a.scored_at = s.scored_at
                    and a.model_id = s.model_id
                    and a.member is null and a.sampled)
order by m.id, s.scored_at, s.pattern_id
