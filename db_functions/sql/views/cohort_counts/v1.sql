create view ml.cohort_counts with (security_invoker = true) as
select * from ml.cohorts
union all
select * from ml.fresh_cohorts;
comment on view ml.cohort_counts is
    'Predictions by week, model, pattern type and outcome, as sums and histograms: exact at every moment; sum over equal keys';
