create view ml.skill with (security_invoker = true) as
select m.version as model_version, j.pattern_type, j.timeframe, j.score, j.baseline, j.rows,
       j.blocks, j.gain, j.gain_low, j.gain_high, j.e_value, j.surely
from ml_internal.judge_skill('-infinity') j join ml.models m on m.id = j.model_id;
comment on view ml.skill is
    'How much better a model is than rule, base rate and first passage, and what was served than '
    'these and the model, on rows it has not seen, with bounds that may be looked at every day';
comment on column ml.skill.model_version is 'the model';
comment on column ml.skill.pattern_type is 'null: all pattern types together';
comment on column ml.skill.timeframe is 'null: all timeframes together';
comment on column ml.skill.score is
    'whose probability: ml, or served, what applications read of the rows that the model served';
comment on column ml.skill.baseline is
    'compared with what: rule, base_rate (of the pattern type, as known then) or first_passage; '
    'what was served with ml, the model alone, too';
comment on column ml.skill.rows is
    'unseen labelled rows that have both, in the first two thirds of finished blocks';
comment on column ml.skill.blocks is 'finished calendar blocks that have such rows';
comment on column ml.skill.gain is
    'mean Brier score of the baseline less that of the score: above 0 is better than the baseline';
comment on column ml.skill.gain_low is
    'lower bound of gain; both bounds hold at every moment together in 95 %';
comment on column ml.skill.gain_high is 'upper bound of gain';
comment on column ml.skill.e_value is
    'evidence against no difference: without one it is ever above 20 in at most 5 %';
comment on column ml.skill.surely is 'better or worse when e_value is 20 or more, else unknown';
