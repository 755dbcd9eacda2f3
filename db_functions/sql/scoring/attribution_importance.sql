create view ml.attribution_importance with (security_invoker = true) as
select g.*, row_number() over (partition by g.model_version, g.member
                               order by g.mean_size desc, g.feature)::integer as rank
from (
    select m.version as model_version, a.member, a.scale, f.feature, count(*) as scores,
           avg(abs(f.contribution)) as mean_size,
           avg(f.contribution) as mean_contribution, avg(f.standard_error) as mean_standard_error
    from ml_internal.attributed_scores a
    join ml.models m on m.id = a.model_id
    cross join lateral unnest(m.feature_names, a.contributions, a.standard_errors)
        f (feature, contribution, standard_error)
    where a.sampled
    group by m.version, a.member, a.scale, f.feature
) g;
comment on view ml.attribution_importance is
    'How much each feature contributes to a model''s scores on the '
    'average of those explained by sampling, not of those asked for';
