-- Whether the correction of a model is surely better than first passage: on live rows that it had
-- not seen, or on the forward folds of its recipe; and what it was fitted on, of its baseline.
select coalesce(k.surely = 'better'
                or k.surely is distinct from 'worse' and jsonb_path_exists(
                    m.metrics, '$.evidence.brier_minus_first_passage.high ? (@ < 0)'),
                false) as proven,
       jsonb_build_object('features', jsonb_build_object(
           'first_passage_target', m.drift_baseline #> '{features,first_passage_target}',
           'first_passage_stop', m.drift_baseline #> '{features,first_passage_stop}')) as baseline
from ml.models m
left join ml.skill k
    on k.model_version = m.version and k.score = 'ml' and k.baseline = 'first_passage'
       and num_nulls(k.pattern_type, k.timeframe) = 2
where m.id = %(model)s
