-- Of block sums S, each new when the blocks before it are known, with V = sum of S^2 and r fixed
-- before any outcome: sqrt(r / (V + r)) exp((sum of S)^2 / (2 (V + r))) averages exp(l sum of S
-- - l^2 V / 2) over normal l with variance 1 / r. Without skill it is above 20 at any time in at
-- most 5 % (Ville); training/skill.py has the proof, its sources, and the same in NumPy.
create view ml.skill with (security_invoker = true) as
with block as (
    select s.*, row_number() over (
               partition by s.model_id, s.pattern_type, s.timeframe, s.score, s.baseline
               order by s.block) as place
    from ml_internal.fresh_skill s cross join ml_internal.skill_clock c
    where (s.block + 1) * c.block_days <= date_part('epoch', now()) / 86400
), summed as (
    select b.model_id, b.pattern_type, b.timeframe, b.score, b.baseline,
           sum(b.rows)::bigint as rows, count(*) as blocks, sum(b.difference) as total,
           sum(b.difference * b.difference) as v,
           nullif(5 * sum(b.spread) filter (where b.place <= 2), 0) as r
    from block b
    group by b.model_id, b.pattern_type, b.timeframe, b.score, b.baseline
), judged as (
    select s.*, coalesce(exp(least(700, s.total ^ 2 / (2 * (s.v + s.r))))
                         * sqrt(s.r / (s.v + s.r)), 1) as e,
           sqrt((s.v + s.r) * (2 * ln(20::double precision) + ln((s.v + s.r) / s.r))) as half
    from summed s
)
select m.version as model_version, j.pattern_type, j.timeframe, j.score, j.baseline, j.rows,
       j.blocks, j.total / j.rows as gain, (j.total - j.half) / j.rows as gain_low,
       (j.total + j.half) / j.rows as gain_high, j.e as e_value,
       case when j.e < 20 then 'unknown' when j.total > 0 then 'better' else 'worse' end as surely
from judged j join ml.models m on m.id = j.model_id;
comment on view ml.skill is
    'How much better a model is than rule, base rate and first passage, on rows it has not seen, '
    'with bounds that may be looked at every day';
comment on column ml.skill.model_version is 'the model';
comment on column ml.skill.pattern_type is 'null: all pattern types together';
comment on column ml.skill.timeframe is 'null: all timeframes together';
comment on column ml.skill.score is
    'whose probability: ml, or served, what applications read of the rows that the model served';
comment on column ml.skill.baseline is
    'compared with what: rule, base_rate (of the pattern type, as known then) or first_passage';
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
