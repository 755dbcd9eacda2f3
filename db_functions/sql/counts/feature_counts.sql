create view ml_internal.feature_counts with (security_invoker = true) as
select * from ml_internal.feature_rollups
union all
select * from ml_internal.fresh_features;
comment on view ml_internal.feature_counts is
    'How features, inputs and answers of scored rows fell into the bins '
    'of ml_internal.bins, per hour and day; sum over equal keys';
