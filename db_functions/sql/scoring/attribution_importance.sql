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
comment on column ml.attribution_importance.model_version is 'the model';
comment on column ml.attribution_importance.member is
    'the part of the ensemble; null: the whole, calibrated';
comment on column ml.attribution_importance.scale is
    'the scale of contributions, log_odds: ln P(positive) less the mean ln P of the other outcomes';
comment on column ml.attribution_importance.feature is 'name of the feature';
comment on column ml.attribution_importance.scores is
    'sampled scores that the averages are taken over';
comment on column ml.attribution_importance.mean_size is 'mean absolute contribution, on the scale';
comment on column ml.attribution_importance.mean_contribution is
    'mean contribution with its sign, on the scale';
comment on column ml.attribution_importance.mean_standard_error is
    'mean standard error of a contribution; null where contributions are exact';
comment on column ml.attribution_importance.rank is
    '1 is the largest mean_size of the model and member';
