-- ml_internal.fresh_events in the columns of ml_internal.cohorts.
create view ml_internal.fresh_cohorts with (security_invoker = true) as
with model as materialized (
    -- Unpacked once, not once a row.
    select m.id, m.score_edges || '{}'::double precision[] as score_edges,
           m.calibration_edges || '{}'::double precision[] as calibration_edges
    from ml.models m
), value as (
    select e.cohort, e.detected_month, e.model_id, e.role, e.source, e.pattern_type, e.timeframe,
           v.score, e.predicted, e.labelled, e.y, e.ml, v.s,
           coalesce(v.s >= e.threshold, false)::integer as called,
           v.s * v.s - 2 * v.s * e.ml + e.ml as expected_error, (1 - 2 * v.s) ^ 2 as slope,
           -ln(greatest(v.s, 2.220446049250313e-16)) as log_loss,
           -ln(1 - least(v.s, 1 - 2.220446049250313e-16)) as log_loss_other,
           width_bucket(v.s, m.score_edges) as bin,
           width_bucket(v.s, case v.score
               when 'ml' then m.calibration_edges
               else '{0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9}'::double precision[]
               end) as calibration_bin
    from ml_internal.fresh_events e
    join model m on m.id = e.model_id
    cross join lateral (values ('ml', e.ml), ('rule', e.rule), ('blended', e.blended),
                               ('served', e.served), ('first_passage', e.first_passage))
        v (score, s)
    where v.s is not null
), counted as (
    select cohort, detected_month, model_id, role, source, pattern_type, timeframe, score, bin,
           calibration_bin,
           sum(predicted) as predictions, sum(predicted * called) as called,
           sum(predicted * ml) as expected_positives,
           sum(predicted * called * ml) as expected_hits,
           sum(predicted * expected_error) as expected_error,
           sum(predicted * (ml * log_loss + (1 - ml) * log_loss_other)) as expected_log_loss,
           sum(labelled) as labelled,
           sum(labelled * y) as positives, sum(labelled * called) as labelled_called,
           sum(labelled * called * y) as hits,
           sum(labelled * s) as score_sum, sum(labelled * (s - y) ^ 2) as error,
           sum(labelled * (y * log_loss + (1 - y) * log_loss_other)) as log_loss,
           sum(labelled * s * (1 - s)) as own_error,
           sum(labelled * slope * s * (1 - s)) as own_variance,
           sum(labelled * ml) as labelled_expected_positives,
           sum(labelled * called * ml) as labelled_expected_hits,
           sum(labelled * expected_error) as labelled_expected_error,
           sum(labelled * slope * ml * (1 - ml)) as labelled_error_variance
    from value
    group by cohort, detected_month, model_id, role, source, pattern_type, timeframe, score, bin,
             calibration_bin
)
select cohort, detected_month, model_id, role, source, pattern_type, timeframe, score,
       sum(predictions)::bigint as predictions, sum(called)::bigint as called,
       sum(expected_positives) as expected_positives, sum(expected_hits) as expected_hits,
       sum(expected_error) as expected_error, sum(expected_log_loss) as expected_log_loss,
       ml_internal.sum_by_bin(array_agg(bin), array_agg(predictions)) as scores,
       ml_internal.sum_by_bin(array_agg(bin), array_agg(expected_positives)) as expected_scores,
       sum(labelled)::bigint as labelled,
       sum(positives)::bigint as positives, sum(labelled_called)::bigint as labelled_called,
       sum(hits)::bigint as hits,
       sum(score_sum) as score_sum, sum(error) as error, sum(log_loss) as log_loss,
       sum(own_error) as own_error,
       sum(own_variance) as own_variance,
       sum(labelled_expected_positives) as labelled_expected_positives,
       sum(labelled_expected_hits) as labelled_expected_hits,
       sum(labelled_expected_error) as labelled_expected_error,
       sum(labelled_error_variance) as labelled_error_variance,
       ml_internal.sum_by_bin(array_agg(bin), array_agg(labelled)) as labelled_scores,
       ml_internal.sum_by_bin(array_agg(bin), array_agg(positives)) as positive_scores,
       ml_internal.sum_by_bin(array_agg(calibration_bin), array_agg(labelled)) as calibration,
       ml_internal.sum_by_bin(array_agg(calibration_bin),
                              array_agg(positives)) as calibration_positives,
       ml_internal.sum_by_bin(array_agg(calibration_bin), array_agg(score_sum)) as calibration_sums
from counted
group by model_id, role, source, score, grouping sets (
    (), (pattern_type), (timeframe), (pattern_type, timeframe),
    (cohort), (cohort, pattern_type), (cohort, timeframe),
    (detected_month), (detected_month, pattern_type), (detected_month, timeframe));
comment on view ml_internal.fresh_cohorts is
    'Internal: predictions and outcomes that are not folded into ml_internal.cohorts yet';
