create view ml_internal.fresh_paired_weeks with (security_invoker = true) as
select e.model_id, e.cohort, e.detected_week, e.detected_month, e.role, e.source, e.pattern_type,
       e.timeframe, sum(e.labelled) as labelled, sum(e.labelled * e.y)::bigint as positives,
       sum(e.labelled * q.ml) as ml_error,
       coalesce(sum(e.labelled) filter (where q.served is not null), 0) as served,
       coalesce(sum(e.labelled * e.y) filter (where q.served is not null), 0)::bigint
           as served_positives,
       coalesce(sum(e.labelled * q.served), 0) as served_error,
       coalesce(sum(e.labelled * (q.served - q.ml)), 0) as served_ml,
       coalesce(sum(e.labelled) filter (where q.rule is not null), 0) as ruled,
       coalesce(sum(e.labelled * (q.ml - q.rule)), 0) as ml_rule,
       coalesce(sum(e.labelled * (q.served - q.rule)), 0) as served_rule,
       coalesce(sum(e.labelled) filter (where q.passage is not null), 0) as passed,
       coalesce(sum(e.labelled * (q.ml - q.passage)), 0) as ml_passage,
       coalesce(sum(e.labelled) filter (where q.served is not null and q.passage is not null), 0)
           as served_passed,
       coalesce(sum(e.labelled * (q.served - q.passage)), 0) as served_passage
from ml_internal.fresh_events e
cross join lateral (
    select (e.ml - e.y) ^ 2 as ml, (e.rule - e.y) ^ 2 as rule, (e.served - e.y) ^ 2 as served,
           (e.first_passage - e.y) ^ 2 as passage) q
where e.labelled <> 0
group by e.model_id, e.cohort, e.detected_week, e.detected_month, e.role, e.source, e.pattern_type,
         e.timeframe;
comment on view ml_internal.fresh_paired_weeks is
    'Internal: outcomes that are not folded into ml_internal.paired_weeks yet';
