create view ml.metric_counts with (security_invoker = true) as
select * from ml.metric_rollups
union all
select * from ml.fresh_metrics;
comment on view ml.metric_counts is
    'Scored rows per minute, hour and day, as counts and histograms: exact at every moment; sum over equal keys';
