-- With x = ml - rule and e = y - rule, a blend w ml + (1 - w) rule misses y by e - w x: sums of
-- products give its Brier score at any weight, and bins of certainty at any threshold of the grid.
-- In any role: what a challenger answered counts once it is promoted. Rows without a rule
-- confidence, or with a score of low quality, are served alike whatever is set.
create function ml_internal.blend_sums(model integer, since timestamptz, source text)
returns table (
    block integer, bin integer, n double precision, xx double precision,
    xe double precision, ee double precision, present double precision)
language sql stable
set search_path = pg_catalog, pg_temp
set jit = off
set work_mem = '64MB'  -- the planner takes a few hundred groups for 40,000, and would sort
as $$
    with given as not materialized (
        select s.threshold, s.ml_weight, s.rule_weight, c.block_days,
               array(select g / 100.0::double precision from generate_series(50, 100) g) as grid
        from ml.settings s cross join ml_internal.skill_clock c
    )
    select w.block, w.bin, count(*)::double precision,
           sum((w.ml - w.rule) * (w.ml - w.rule)), sum((w.ml - w.rule) * (w.y - w.rule)),
           sum((w.y - w.rule) * (w.y - w.rule)), sum((w.served - w.y) * (w.served - w.y))
    from (select l.ml, l.rule, l.y, ml_internal.block_of(l.day, g.block_days) as block,
                 width_bucket(greatest(l.ml, 1 - l.ml), g.grid) as bin,
                 case when ml_internal.decide(l.ml, l.rule, l.reason, true, g.threshold) = 'scored'
                      then ml_internal.blended(l.ml, l.rule, g.ml_weight, g.rule_weight)
                      else l.rule end as served
          from ml_internal.labelled l
          cross join given g
          where l.model_id = blend_sums.model and l.source = blend_sums.source and not l.seen
            and l.rule is not null and l.reason is null
            and (blend_sums.since is null or l.detected_at >= blend_sums.since)
          offset bigint '0') w
    group by w.block, w.bin
$$;
comment on function ml_internal.blend_sums(integer, timestamptz, text) is
    'Internal: sums over unseen rows from which the best weights and threshold follow; bin n '
    'has a certainty of at least the nth hundredth from 0.50';
