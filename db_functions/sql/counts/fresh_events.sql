-- What ml_internal.batches and ml_internal.outcome_changes hold beyond the last fold: a prediction
-- (predicted 1) or an outcome that came or was taken back (labelled 1 or -1), with the five scores.
create view ml_internal.fresh_events with (security_invoker = true) as
with span as (
    select u.low, u.high
    from ml_internal.folds f cross join ml_internal.unseen(f.snapshot) u where f.log = 'cohorts'
), event as (
    select b.at, b.model_id, b.role, b.source, e.*, 1 as predicted, 0 as labelled,
           0::double precision as y
    from span join ml_internal.batches b on b.xid between span.low and span.high
    cross join unnest(b.detected, b.seen, b.pattern_types, b.timeframes, b.thresholds,
                      b.confidences::double precision[], b.rules, b.blends, b.served,
                      b.first_passages::double precision[])
        e (detected_at, seen, pattern_type, timeframe, threshold, ml, rule, blended, served,
           first_passage)
    where e.ml is not null
    union all
    select c.scored_at, c.model_id, c.role, c.source, c.detected_at, c.seen, c.pattern_type,
           c.timeframe, c.threshold, c.ml_confidence, c.rule_confidence, c.blended_confidence,
           c.served, c.first_passage, 0, c.sign, (c.outcome = 'positive')::integer
    from span join ml_internal.outcome_changes c on c.xid between span.low and span.high
)
select (date_trunc('week', e.at, 'UTC') at time zone 'UTC')::date as cohort,
       (date_trunc('week', e.detected_at, 'UTC') at time zone 'UTC')::date as detected_week,
       (date_trunc('month', e.detected_at, 'UTC') at time zone 'UTC')::date as detected_month,
       e.model_id, e.role, case when e.seen then 'seen_in_training' else e.source end as source,
       -- A name from before the upgrade may be too long for an index.
       left(e.pattern_type, 200) as pattern_type, left(e.timeframe, 200) as timeframe,
       e.threshold, e.predicted, e.labelled, e.y,
       -- Postgres raises where a product is too small for a double.
       case when e.ml < 1e-30 then 0 else e.ml end as ml,
       case when e.rule < 1e-30 then 0 else e.rule end as rule,
       case when e.blended < 1e-30 then 0 else e.blended end as blended,
       case when e.served < 1e-30 then 0 else e.served end as served,
       case when e.first_passage < 1e-30 then 0 else e.first_passage end as first_passage
from event e;
comment on view ml_internal.fresh_events is
    'Internal: predictions and outcomes that are not folded yet, one by one';
