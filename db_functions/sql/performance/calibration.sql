create view ml.calibration with (security_invoker = true) as
with counted as (
    select m.version as model_version, c.role, c.source, c.score, c.cohort, c.detected_month,
           c.pattern_type, c.timeframe, c.calibration, c.calibration_positives, c.calibration_sums,
           case c.score when 'ml' then m.calibration_edges
                        else '{0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9}'::double precision[]
                        end as edges
    from ml_internal.cohort_counts c join ml.models m on m.id = c.model_id
    where num_nulls(c.cohort, c.detected_month, c.pattern_type, c.timeframe) >= 3
)
select c.model_version, c.role, c.source, c.score, c.cohort, c.detected_month,
       c.pattern_type, c.timeframe,
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
    'of the model, per week, detected month, pattern type, timeframe, or in all';
comment on column ml.calibration.model_version is 'the model';
comment on column ml.calibration.role is
    'as whom the model scored: champion, canary, standby or challenger';
comment on column ml.calibration.source is
    'live (rows scored as they came), backfill, or seen_in_training: no evidence, the model may '
    'have learned from these rows';
comment on column ml.calibration.score is
    'whose probability: ml, rule, blended, served (what applications read when the row was scored) '
    'or first_passage (of models that compute it)';
comment on column ml.calibration.cohort is
    'the Monday (UTC) of the week in which the predictions were made; null: all weeks';
comment on column ml.calibration.detected_month is
    'the first day (UTC) of the month that the patterns were detected in; null: all months';
comment on column ml.calibration.pattern_type is 'null: all pattern types together';
comment on column ml.calibration.timeframe is 'null: all timeframes together';
comment on column ml.calibration.bin is 'number of the bin, from 1; bins are frozen with the model';
comment on column ml.calibration.low is 'lower edge of the bin';
comment on column ml.calibration.high is 'upper edge of the bin';
comment on column ml.calibration.n is 'labelled predictions in the bin';
comment on column ml.calibration.predicted is
    'mean score in the bin: the share of positive outcomes that was predicted';
comment on column ml.calibration.observed is 'share of positive outcomes in the bin';
comment on column ml.calibration.observed_low is
    'lower end of the 95 % Wilson interval of observed';
comment on column ml.calibration.observed_high is
    'upper end of the 95 % Wilson interval of observed';
