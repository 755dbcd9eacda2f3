create view ml.calibration with (security_invoker = true) as
with counted as (
    select m.version as model_version, c.role, c.source, c.score, c.cohort, c.pattern_type,
           c.timeframe, c.calibration, c.calibration_positives, c.calibration_sums,
           case c.score when 'ml' then m.calibration_edges
                        else '{0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9}'::double precision[]
                        end as edges
    from ml_internal.cohort_counts c join ml.models m on m.id = c.model_id
    where num_nulls(c.cohort, c.pattern_type, c.timeframe) >= 2
)
select c.model_version, c.role, c.source, c.score, c.cohort, c.pattern_type, c.timeframe,
       b.bin::integer as bin, coalesce(c.edges[b.bin - 1], 0) as low,
       coalesce(c.edges[b.bin], 1) as high, b.n::bigint as n, b.total / b.n as predicted,
       b.positives / b.n as observed, ml_internal.wilson(b.positives, b.n, -1) as observed_low,
       ml_internal.wilson(b.positives, b.n, 1) as observed_high
from counted c
cross join unnest(c.calibration, c.calibration_positives, c.calibration_sums) with ordinality
    b (n, positives, total, bin)
where b.n > 0;
comment on view ml.calibration is
    'Of predictions said to be p likely, how many came: in the frozen bins '
    'of the model, per week, pattern type, timeframe, or in all';
