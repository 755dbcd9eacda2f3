-- The offset keeps the planner from computing the blend again for every sum. As a bigint, or
-- workers could not share the rows.
create function ml.what_if(
    threshold    double precision default null,
    ml_weight    double precision default null,
    rule_weight  double precision default null,
    since        timestamptz default null,       -- only rows detected at or after it
    source       text default 'live')            -- or backfill
returns table (
    rows bigint, blended bigint, share double precision, brier double precision,
    log_loss double precision, ece double precision,
    gain_over_served double precision, gain_over_served_low double precision,
    gain_over_served_high double precision,
    gain_over_rule double precision, gain_over_rule_low double precision,
    gain_over_rule_high double precision,
    gain_over_ml double precision, gain_over_ml_low double precision,
    gain_over_ml_high double precision, blocks bigint, block interval)
language sql stable
set search_path = pg_catalog, pg_temp
set jit = off
set work_mem = '64MB'  -- the planner takes a few hundred groups for 40,000, and would sort
as $$
    select ml_internal.require_share('threshold', what_if.threshold),
           ml_internal.require_share('ml_weight', what_if.ml_weight),
           ml_internal.require_share('rule_weight', what_if.rule_weight);

    with given as not materialized (
        select coalesce(what_if.threshold, s.threshold) as threshold,
               coalesce(what_if.ml_weight, s.ml_weight) as ml_weight,
               coalesce(what_if.rule_weight, s.rule_weight) as rule_weight, c.block_days
        from ml.settings s cross join ml_internal.skill_clock c
    ), counted as (
        select w.block,
               width_bucket(w.would, '{0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9}'::double precision[])
                   as bin,
               count(*) as rows, count(*) filter (where w.blends) as blended,
               count(w.would) as n, sum(w.would) as total, sum(w.y) as positives,
               sum((w.would - w.y) * (w.would - w.y)) as error,
               sum(-ln(greatest(case when w.y = 1 then w.would else 1 - w.would end,
                                2.220446049250313e-16)))
                   filter (where w.would is not null) as log_loss,
               count(w.served - w.would) as n_served,
               sum((w.served - w.y) * (w.served - w.y) - (w.would - w.y) * (w.would - w.y))
                   as over_served,
               count(w.rule - w.would) as n_rule,
               sum((w.rule - w.y) * (w.rule - w.y) - (w.would - w.y) * (w.would - w.y))
                   as over_rule,
               sum((w.ml - w.y) * (w.ml - w.y) - (w.would - w.y) * (w.would - w.y)) as over_ml
        from (select d.block, d.y, d.ml, d.rule, d.served, d.blends,
                     case when d.blends
                          then ml_internal.blended(d.ml, d.rule, d.ml_weight, d.rule_weight)
                          else d.rule end as would
              from (select e.y, e.ml, e.rule, e.served, g.ml_weight, g.rule_weight,
                           ml_internal.block_of(e.day, g.block_days) as block,
                           ml_internal.decide(e.ml, e.rule, e.reason, true, g.threshold)
                               = 'scored' as blends
                    from ml_internal.labelled e
                    cross join given g
                    where e.model_id = (select c.model_id from ml_internal.champion c)
                      and e.role = 'champion' and e.source = what_if.source and not e.seen
                      and (what_if.since is null or e.detected_at >= what_if.since)) d
              offset bigint '0') w
        group by 1, 2
    ), block as (
        select c.block, sum(c.n_served)::double precision as n_served,
               sum(c.over_served) as over_served, sum(c.n_rule)::double precision as n_rule,
               sum(c.over_rule) as over_rule, sum(c.n)::double precision as n,
               sum(c.over_ml) as over_ml
        from counted c group by c.block
    ), error as (
        select s.mean as served, s.low as served_low, s.high as served_high,
               r.mean as rule, r.low as rule_low, r.high as rule_high,
               m.mean as ml, m.low as ml_low, m.high as ml_high, b.blocks
        from (select count(*) as blocks,
                     array_agg(n_served) as n_served, array_agg(over_served) as over_served,
                     array_agg(n_rule) as n_rule, array_agg(over_rule) as over_rule,
                     array_agg(n) as n, array_agg(over_ml) as over_ml from block) b
        cross join lateral ml_internal.mean_error(b.n_served, b.over_served) s
        cross join lateral ml_internal.mean_error(b.n_rule, b.over_rule) r
        cross join lateral ml_internal.mean_error(b.n, b.over_ml) m
    ), bin as (
        select sum(c.rows) as rows, sum(c.blended) as blended, sum(c.n) as n,
               sum(c.error) as error, sum(c.log_loss) as log_loss,
               abs(sum(c.positives) - sum(c.total)) as off
        from counted c group by c.bin
    )
    select coalesce(sum(b.rows), 0)::bigint, coalesce(sum(b.blended), 0)::bigint,
           (sum(b.blended) / nullif(sum(b.rows), 0))::double precision,
           sum(b.error) / nullif(sum(b.n), 0)::double precision,
           sum(b.log_loss) / nullif(sum(b.n), 0)::double precision,
           sum(b.off) / nullif(sum(b.n), 0)::double precision,
           max(e.served), max(e.served_low), max(e.served_high),
           max(e.rule), max(e.rule_low), max(e.rule_high),
           max(e.ml), max(e.ml_low), max(e.ml_high),
           max(e.blocks), max(g.block_days) * interval '8 hours'
    from given g cross join error e left join bin b on true
$$;
comment on function ml.what_if(
    double precision, double precision, double precision, timestamptz, text) is
    'How the champion''s unseen rows would have been served with other settings (null: those of '
    'now), with ML enabled; changes nothing';
