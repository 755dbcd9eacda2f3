-- Rows, not sums: for questions that no count answers. A row that one model scored twice is here
-- twice; ml_internal.labelled has the newest. Errors by calendar block of detected_at are not made
-- smaller by that.
create view ml_internal.evidence with (security_invoker = true) as
select s.pattern_id, s.model_id, s.role,
       case when s.latency_ms is null then 'backfill' else 'live' end as source, s.scored_at,
       s.detected_at, s.pattern_type, s.timeframe, p.outcome_label as outcome,
       (p.outcome_label = 'positive')::integer::double precision as y,
       s.ml_confidence::double precision as ml, s.rule_confidence as rule,
       s.blended_confidence as blended, s.served,
       s.first_passage::double precision as first_passage, s.seen
from ml.predictions s
join public.pattern_events p on p.id = s.pattern_id
where p.outcome_label in ('positive', 'negative', 'neutral') and s.role <> 'replay';
comment on view ml_internal.evidence is
    'Predictions whose outcome is known, with the five scores as they were when the row '
    'was scored; first_passage is null where the model has no such feature; seen rows '
    'are no evidence';
