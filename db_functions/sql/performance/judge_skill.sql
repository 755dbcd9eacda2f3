-- Of block sums S, each new when the blocks before it are known, with V = sum of S^2 and r fixed
-- before any outcome: sqrt(r / (V + r)) exp((sum of S)^2 / (2 (V + r))) averages exp(l sum of S
-- - l^2 V / 2) over normal l with variance 1 / r. Without skill it is above 20 at any time in at
-- most 5 % (Ville); training/skill.py has the proof, its sources, and the same in NumPy. Parsed
-- when it is made, so it is inlined and sums only the model that is asked for.
create function ml_internal.judge_skill(
    since date)  -- only blocks that begin then or later
returns table (
    model_id integer, pattern_type text, timeframe text, score text, baseline text, rows bigint,
    blocks bigint, block_days integer, gain double precision, gain_low double precision,
    gain_high double precision, e_value double precision, surely text)
language sql stable
begin atomic
    with block as (
        select s.*, c.block_days, row_number() over (
                   partition by s.model_id, s.pattern_type, s.timeframe, s.score, s.baseline
                   order by s.block) as place
        from ml_internal.fresh_skill s cross join ml_internal.skill_clock c
        where (s.block + 1) * c.block_days <= date_part('epoch', now()) / 86400
          and date '1970-01-01' + s.block * c.block_days >= judge_skill.since
    ), summed as (
        select b.model_id, b.pattern_type, b.timeframe, b.score, b.baseline, b.block_days,
               sum(b.rows)::bigint as rows, count(*) as blocks, sum(b.difference) as total,
               sum(b.difference * b.difference) as v,
               nullif(5 * sum(b.spread) filter (where b.place <= 2), 0) as r
        from block b
        group by b.model_id, b.pattern_type, b.timeframe, b.score, b.baseline, b.block_days
    ), judged as (
        select s.*, coalesce(exp(least(700, s.total ^ 2 / (2 * (s.v + s.r))))
                             * sqrt(s.r / (s.v + s.r)), 1) as e,
               sqrt((s.v + s.r) * (2 * ln(20::double precision) + ln((s.v + s.r) / s.r))) as half
        from summed s
    )
    select j.model_id, j.pattern_type, j.timeframe, j.score, j.baseline, j.rows, j.blocks,
           j.block_days, j.total / j.rows, (j.total - j.half) / j.rows, (j.total + j.half) / j.rows,
           j.e,
           case when j.e < 20 then 'unknown' when j.total > 0 then 'better' else 'worse' end
    from judged j;
end;
comment on function ml_internal.judge_skill(date) is
    'ml.skill over the calendar blocks since a day; begins again with every other day';
