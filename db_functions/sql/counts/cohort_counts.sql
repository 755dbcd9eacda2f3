create view ml_internal.cohort_counts with (security_invoker = true) as
with part as (
    select * from ml_internal.cohorts
    union all
    select f.*, null, null from ml_internal.fresh_cohorts f
)
select cohort, detected_month, model_id, role, source, pattern_type, timeframe, score,
       sum(predictions)::bigint as predictions, sum(called)::bigint as called,
       sum(expected_positives) as expected_positives, sum(expected_hits) as expected_hits,
       sum(expected_error) as expected_error, sum(expected_log_loss) as expected_log_loss,
       ml_internal.sum_arrays(scores) as scores,
       ml_internal.sum_arrays(expected_scores) as expected_scores,
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
       ml_internal.sum_arrays(labelled_scores) as labelled_scores,
       ml_internal.sum_arrays(positive_scores) as positive_scores,
       ml_internal.sum_arrays(calibration) as calibration,
       ml_internal.sum_arrays(calibration_positives) as calibration_positives,
       ml_internal.sum_arrays(calibration_sums) as calibration_sums,
       case when count(*) = 1 and min(pairs) is not null then min(expected_pairs)
            else ml_internal.ordered_pairs(ml_internal.sum_arrays(expected_scores),
                                           ml_internal.sum_arrays(scores)) end as expected_pairs,
       case when count(*) = 1 and min(pairs) is not null then min(pairs)
            else ml_internal.ordered_pairs(ml_internal.sum_arrays(positive_scores),
                                           ml_internal.sum_arrays(labelled_scores)) end as pairs
from part
group by cohort, detected_month, model_id, role, source, pattern_type, timeframe, score;
comment on view ml_internal.cohort_counts is
    'Predictions by week or detected month, model, pattern type and timeframe, and in '
    'all (null), as sums and histograms: exact at every moment';
