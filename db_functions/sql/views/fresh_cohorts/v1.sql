-- What ml.batches and ml.outcome_changes hold beyond the last fold, in the columns of ml.cohorts.
create view ml.fresh_cohorts with (security_invoker = true) as
with mark as (
    select f.snapshot from ml.folds f where f.log = 'cohorts'
), model as materialized (
    -- Unpacked once, not once a row.
    select m.id, m.score_edges || '{}'::double precision[] as score_edges,
           m.calibration_edges || '{}'::double precision[] as calibration_edges
    from ml.models m
), prediction as (
    select (date_trunc('week', b.at, 'UTC') at time zone 'UTC')::date as cohort, b.model_id, b.role, b.source,
           -- Longer ones, from before the upgrade, fit no index.
           left(e.pattern_type, 200) as pattern_type, left(e.timeframe, 200) as timeframe, 'any' as outcome, 1 as sign, e.ml, e.rule, e.blend, e.threshold
    from mark join ml.batches b on b.xid >= pg_snapshot_xmin(mark.snapshot)
    cross join unnest(b.pattern_types, b.timeframes, b.confidences::double precision[], b.rules, b.blends, b.thresholds)
        e (pattern_type, timeframe, ml, rule, blend, threshold)
    where not pg_visible_in_snapshot(b.xid, mark.snapshot) and e.ml is not null
    union all
    select (date_trunc('week', c.scored_at, 'UTC') at time zone 'UTC')::date, c.model_id, c.role, c.source,
           left(c.pattern_type, 200), left(c.timeframe, 200), c.outcome, c.sign, c.ml_confidence, c.rule_confidence, c.blended_confidence, c.threshold
    from mark join ml.outcome_changes c on c.xid >= pg_snapshot_xmin(mark.snapshot)
    where not pg_visible_in_snapshot(c.xid, mark.snapshot)
), value as (
    select p.*, s.score, s.v, least(greatest(s.v, 2.220446049250313e-16), 1 - 2.220446049250313e-16) as clipped,
           width_bucket(s.v, m.score_edges) as bin,
           width_bucket(s.v, case s.score when 'ml' then m.calibration_edges
                                          else '{0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9}'::double precision[] end) as mass
    from prediction p
    join model m on m.id = p.model_id
    cross join lateral (values ('ml', p.ml), ('rule', p.rule), ('blended', p.blend)) s (score, v)
    where s.v is not null
)
select cohort, model_id, role, source, pattern_type, timeframe, score, outcome,
       sum(sign) as n, coalesce(sum(sign) filter (where v >= threshold), 0) as called,
       sum(sign * v) as sum1, sum(sign * v ^ 2) as sum2, sum(sign * v ^ 3) as sum3, sum(sign * v ^ 4) as sum4,
       sum(sign * ln(clipped)) as sum_log, sum(sign * ln(1 - clipped)) as sum_log_other,
       sum(sign * ml) as ml_sum, sum(sign * ml * v) as ml_product,
       coalesce(sum(sign * ml) filter (where v >= threshold), 0) as ml_called,
       ml.sum_by_bin(array_agg(bin), array_agg(sign::double precision)) as scores,
       ml.sum_by_bin(array_agg(mass), array_agg(sign::double precision)) as calibration,
       ml.sum_by_bin(array_agg(mass), array_agg(sign * v)) as calibration_sums
from value
group by 1, 2, 3, 4, 5, 6, 7, 8;
comment on view ml.fresh_cohorts is 'Internal: predictions and outcomes that are not folded into ml.cohorts yet';
