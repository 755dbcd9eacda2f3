-- Rows, not sums: for questions that no count answers. A row that one model scored twice is here
-- twice; ml_internal.labelled has the newest.
create view ml_internal.evidence with (security_invoker = true) as
select s.pattern_id, s.model_id, s.role,
       case when s.latency_ms is null then 'backfill' else 'live' end as source, s.scored_at,
       p.detected_at, s.pattern_type, s.timeframe, p.outcome_label as outcome,
       (p.outcome_label = 'positive')::integer::double precision as y,
       s.ml_confidence::double precision as ml, s.rule_confidence as rule,
       s.blended_confidence as blended,
       case when ml_internal.decide(s.ml_confidence, s.rule_confidence, s.reason, true, s.threshold)
                 = 'scored'
            then s.blended_confidence else s.rule_confidence end as served,
       null::double precision as first_passage,
       coalesce(p.detected_at <= m.fitted_until, false) as seen
from ml.predictions s
join public.pattern_events p on p.id = s.pattern_id
join ml.models m on m.id = s.model_id
where p.outcome_label in ('positive', 'negative', 'neutral') and s.role <> 'replay';
comment on view ml_internal.evidence is
    'Predictions whose outcome is known, with the five scores as they were when the row was '
    'scored; rows that the model has seen are no evidence';
