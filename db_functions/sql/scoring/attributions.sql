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
