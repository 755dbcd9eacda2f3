create view ml_internal.paired_counts with (security_invoker = true) as
with part as (
    select * from ml_internal.paired_weeks
    union all
    select * from ml_internal.fresh_paired_weeks
)
select p.model_id, p.cohort, p.detected_week, p.detected_month, p.role, p.source, p.pattern_type,
       p.timeframe, sum(p.labelled)::double precision as labelled,
       sum(p.positives)::double precision as positives, sum(p.ml_error) as ml_error,
       sum(p.served)::double precision as served,
       sum(p.served_positives)::double precision as served_positives,
       sum(p.served_error) as served_error, sum(p.served_ml) as served_ml,
       sum(p.ruled)::double precision as ruled, sum(p.ml_rule) as ml_rule,
       sum(p.served_rule) as served_rule, sum(p.passed)::double precision as passed,
       sum(p.ml_passage) as ml_passage, sum(p.served_passed)::double precision as served_passed,
       sum(p.served_passage) as served_passage
from part p
group by p.model_id, p.cohort, p.detected_week, p.detected_month, p.role, p.source, p.pattern_type,
         p.timeframe
having sum(p.labelled) > 0;
comment on view ml_internal.paired_counts is
    'ml_internal.paired_weeks and what is not folded yet: exact at every moment';
