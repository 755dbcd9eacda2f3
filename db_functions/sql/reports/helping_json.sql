-- Is ML helping? Of the champion's unseen rows whose outcome is known: live ones where there are
-- any, else those of a backfill.
create or replace function ml_internal.helping_json() returns jsonb
language sql stable set search_path = pg_catalog, pg_temp
set jit = off
as $$
    with champion as (
        select m.id, m.version from ml_internal.champion c join ml.models m on m.id = c.model_id
    ), realised as materialized (
        select p.source, p.score, p.detected_month, p.labelled, p.base_rate, p.brier, p.log_loss,
               p.roc_auc
        from champion join ml.performance_realised p on p.model_version = champion.version
        where p.role = 'champion' and p.cohort is null
          and p.pattern_type is null and p.timeframe is null and p.labelled > 0
    ), source as (
        select coalesce(min(r.source) filter (where r.source = 'live'),
                        min(r.source) filter (where r.source = 'backfill')) as source
        from realised r
    ), difference as materialized (
        select d.score, d.baseline, d.pattern_type, d.n, d.difference, d.low, d.high, d.blocks,
               d.block_days
        from champion join ml.performance_differences d on d.model_version = champion.version
        join source on source.source = d.source
        where d.role = 'champion' and d.cohort is null and d.detected_month is null
          and d.timeframe is null and d.n > 0
    ), asked as (
        -- What is read, against the rule; against the base rate where no row has a rule confidence.
        select d.* from difference d
        where d.score = 'served' and d.pattern_type is null
          and d.baseline in ('rule', 'base_rate')
        order by d.baseline = 'rule' desc limit 1
    ), decided as (
        select sum(c.scored) as blended, sum(c.below_threshold + c.ml_disabled) as ruled,
               sum(c.no_model + c.insufficient_bars + c.low_quality + c.failed) as fallbacks
        from ml_internal.metric_counts c
        where c.grain = 'hour' and c.bucket >= clock_timestamp() - interval '7 days'
          and c.role in ('champion', 'standby', 'canary')
    )
    select jsonb_build_object(
        'answer', case when (select a.high from asked a) < 0 then 'better'
                       when (select a.low from asked a) > 0 then 'worse'
                       else 'unknown' end,
        'against', (select a.baseline from asked a),
        'source', source.source,
        'rows', (select r.labelled from realised r
                 where r.source = source.source and r.score = 'served'
                   and r.detected_month is null),
        'seen_in_training', coalesce((
            select r.labelled from realised r
            where r.source = 'seen_in_training' and r.score = 'ml' and r.detected_month is null),
            0),
        'base_rate', (select r.base_rate from realised r
                      where r.source = source.source and r.score = 'served'
                        and r.detected_month is null),
        'scores', coalesce((
            select jsonb_agg(jsonb_build_object(
                       'score', r.score, 'n', r.labelled, 'brier', r.brier,
                       'log_loss', r.log_loss, 'roc_auc', r.roc_auc)
                       order by r.brier, r.score)
            from realised r
            where r.source = source.source and r.detected_month is null), '[]'),
        'differences', coalesce((
            select jsonb_agg(to_jsonb(d) - 'pattern_type' order by d.score desc, d.baseline)
            from difference d where d.pattern_type is null), '[]'),
        -- The largest: there may be hundreds.
        'types', coalesce((
            select jsonb_agg(to_jsonb(t) order by t.n desc, t.pattern_type)
            from (select d.pattern_type, d.n, d.difference, d.low, d.high
                  from difference d join asked a using (baseline)
                  where d.score = 'served' and d.pattern_type is not null
                  order by d.n desc, d.pattern_type limit 12) t), '[]'),
        'months', coalesce((
            select jsonb_agg(jsonb_build_object(
                       'month', m.detected_month, 'n', m.n, 'served', m.served, 'rule', m.rule,
                       'first_passage', m.first_passage) order by m.detected_month)
            from (select r.detected_month, max(r.labelled) as n,
                         max(r.brier) filter (where r.score = 'served') as served,
                         max(r.brier) filter (where r.score = 'rule') as rule,
                         max(r.brier) filter (where r.score = 'first_passage') as first_passage
                  from realised r
                  where r.source = source.source and r.detected_month is not null
                  group by r.detected_month
                  order by r.detected_month desc limit 60) m), '[]'),
        'decided', (select to_jsonb(d) from decided d),
        'settings', (select jsonb_build_object(
                                'weights', s.weights, 'ml_weight', s.ml_weight,
                                'rule_weight', s.rule_weight, 'threshold', s.threshold)
                     from ml.settings s))
    from source
$$;
comment on function ml_internal.helping_json() is
    'Whether what applications read is better than the rule, and by how much, for the status page';
