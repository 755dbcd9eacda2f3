create view ml_internal.metric_counts with (security_invoker = true) as
select * from ml_internal.metric_rollups
union all
select * from ml_internal.fresh_metrics;
comment on view ml_internal.metric_counts is
    'Scored rows per minute, hour and day, as counts and '
    'histograms: exact at every moment; sum over equal keys';
