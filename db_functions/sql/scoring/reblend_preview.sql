-- What the blend trigger would decide now. The formula stands here a second time, so that a dry run writes nothing; a
-- property test holds the two together.
create view ml.reblend_preview with (security_invoker = true) as
select p.id, p.symbol, p.detected_at, p.confidence::double precision as confidence, p.ml_metadata ->> 'source' as source,
       case when d.blends then d.blended else r.rule end as new_confidence,
       case when d.blends then 'blend' else 'rule' end as new_source,
       (p.ml_metadata ->> 'threshold')::double precision is distinct from s.threshold
       or (p.ml_metadata ->> 'ml_weight')::double precision is distinct from s.ml_weight
       or (p.ml_metadata ->> 'rule_weight')::double precision is distinct from s.rule_weight
       or (p.ml_metadata ->> 'reason' <> 'low_quality' and (p.ml_metadata ->> 'reason' = 'ml_disabled') = s.enabled) as stale
from public.pattern_events p
cross join ml.settings s
cross join lateral (
    select p.ml_confidence::double precision as ml,
           case when p.rule_confidence >= 0 and p.rule_confidence <= 1 then p.rule_confidence::double precision end as rule) r
cross join lateral (
    select p.ml_metadata ->> 'reason' <> 'low_quality' and s.enabled and (r.ml >= s.threshold or r.rule is null) as blends,
           greatest(0, least(1, case when r.rule is null then r.ml else
               case when least(r.ml, s.ml_weight) < 1e-150 then 0 else s.ml_weight * r.ml end
               + case when least(r.rule, s.rule_weight) < 1e-150 then 0 else s.rule_weight * r.rule end end)) as blended) d
where p.scored_at is not null and p.ml_confidence is not null;
comment on view ml.reblend_preview is 'Scored rows, and what their confidence would be with the settings of now';
comment on column ml.reblend_preview.stale is 'whether the recorded decision was taken with other settings than those of now';
