-- Whether the correction of a model is surely better than first passage: on live rows that it had
-- not seen, or by three standard errors on the forward folds of its recipe (an interval reaches
-- two); and what it was fitted on, of its baseline. A recalibration moves every pattern alike, for
-- whatever first passage gets wrong of all of them: it says nothing of one.
select coalesce((k.surely = 'better'
                 or k.surely is distinct from 'worse' and jsonb_path_exists(
                     m.metrics, '$.evidence.brier_minus_first_passage ? '
                                '(@.value < 0 && @.high * 1.5 < @.value * 0.5)'))
                and m.metrics #>> '{candidates,kept}' is distinct from 'recalibrated',
                false) as proven,
       jsonb_build_object('features', jsonb_build_object(
           'first_passage_target', m.drift_baseline #> '{features,first_passage_target}',
           'first_passage_stop', m.drift_baseline #> '{features,first_passage_stop}')) as baseline
from ml.models m
left join ml.skill k
    on k.model_version = m.version and k.score = 'ml' and k.baseline = 'first_passage'
       and num_nulls(k.pattern_type, k.timeframe) = 2
where m.id = %(model)s
