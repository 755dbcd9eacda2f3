create view ml.reblend_preview with (security_invoker = true) as
select p.id, p.symbol, p.detected_at, p.confidence::double precision as confidence,
       p.ml_metadata ->> 'source' as source,
       case when d.reason = 'scored'
            then ml_internal.blended(r.ml, r.rule, s.ml_weight, s.rule_weight)
            else r.rule end
           as new_confidence,
       case when d.reason = 'scored' then 'blend' else 'rule' end as new_source,
       (p.ml_metadata ->> 'threshold')::double precision is distinct from s.threshold
       or (p.ml_metadata ->> 'ml_weight')::double precision is distinct from s.ml_weight
       or (p.ml_metadata ->> 'rule_weight')::double precision is distinct from s.rule_weight
       or (p.ml_metadata ->> 'reason' <> 'low_quality'
           and (p.ml_metadata ->> 'reason' = 'ml_disabled') = s.enabled)
           as stale
from public.pattern_events p
cross join ml.settings s
cross join lateral (
    select p.ml_confidence::double precision as ml,
           ml_internal.usable_rule(p.rule_confidence) as rule) r
cross join lateral (
    select ml_internal.decide(r.ml, r.rule, p.ml_metadata ->> 'reason', s.enabled,
                              s.threshold) as reason) d
where p.scored_at is not null and p.ml_confidence is not null;
comment on view ml.reblend_preview is
    'Scored rows, and what their confidence would be with the settings of now';
comment on column ml.reblend_preview.id is 'of the pattern';
comment on column ml.reblend_preview.symbol is 'of the pattern';
comment on column ml.reblend_preview.detected_at is 'when the pattern was detected';
comment on column ml.reblend_preview.confidence is 'the effective confidence as stored';
comment on column ml.reblend_preview.source is 'what decided the stored one: blend or rule';
comment on column ml.reblend_preview.new_confidence is
    'the effective confidence with the settings of now';
comment on column ml.reblend_preview.new_source is 'what would decide it: blend or rule';
comment on column ml.reblend_preview.stale is
    'whether it was decided with other settings than those of now';
