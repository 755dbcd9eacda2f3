create view ml.feature_counts with (security_invoker = true) as
select * from ml.feature_rollups
union all
select * from ml.fresh_features;
comment on view ml.feature_counts is
    'How features, inputs and answers of scored rows fell into the bins of ml.bins, per hour and day; sum over equal keys';
