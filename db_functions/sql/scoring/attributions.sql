create view ml.attributions with (security_invoker = true) as
select a.pattern_id, m.version as model_version, a.scored_at, a.member, a.scale, f.feature, f.value,
       f.contribution, f.standard_error,
       a.base, a.answer, a.sampled, a.computed_at
from ml_internal.attributed_scores a
join ml.models m on m.id = a.model_id
left join ml.predictions p on p.pattern_id = a.pattern_id and p.scored_at = a.scored_at
    and p.model_id = a.model_id
cross join lateral unnest(m.feature_names, p.features, a.contributions, a.standard_errors)
    f (feature, value, contribution, standard_error);
comment on view ml.attributions is
    'Why a score is what it is: each feature''s value and contribution, for '
    'the whole (member null) and for each member of the ensemble';
comment on column ml.attributions.pattern_id is 'the pattern that was scored';
comment on column ml.attributions.model_version is 'the model that made the score';
comment on column ml.attributions.scored_at is
    'when the score was made; with pattern_id it names the score';
comment on column ml.attributions.member is 'the part of the ensemble; null: the whole, calibrated';
comment on column ml.attributions.scale is
    'the scale of contributions, log_odds: ln P(positive) less the mean ln P of the other outcomes';
comment on column ml.attributions.feature is 'name of the feature';
comment on column ml.attributions.value is
    'the feature as the model saw it; null when the prediction is gone';
comment on column ml.attributions.contribution is 'what the feature adds to base, on the scale';
comment on column ml.attributions.standard_error is
    'standard error of the contribution; null where it is exact';
comment on column ml.attributions.base is
    'the mean answer over the background rows of the model, on the scale';
comment on column ml.attributions.answer is 'the answer for this row: base plus all contributions';
comment on column ml.attributions.sampled is
    'true: chosen by hash, so averages may use it; false: asked for';
comment on column ml.attributions.computed_at is 'when it was explained';
