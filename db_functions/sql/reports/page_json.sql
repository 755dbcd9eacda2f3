-- The status page asks once. Confidences and calibration are the champion's, from the counts.
create or replace function ml_internal.page_json() returns jsonb
language sql stable set search_path = pg_catalog, pg_temp
set jit = off
as $$
    with champion as (
        select m.id, m.version, m.score_edges, m.calibration_edges
        from ml_internal.champion c join ml.models m on m.id = c.model_id
    ), score as (
        select ml_internal.sum_arrays(c.scores) as counts
        from champion join ml_internal.metric_counts c on c.model_id = champion.id
        where c.grain = 'hour' and c.bucket >= clock_timestamp() - interval '7 days'
          and c.role in ('champion', 'canary')
    ), cohort as (
        -- Of all weeks: everything (both null), each pattern type, each timeframe. These are
        -- counted as groups too.
        select c.pattern_type, c.timeframe, ml_internal.sum_arrays(c.calibration) as n,
               ml_internal.sum_arrays(c.calibration_sums) as sums,
               ml_internal.sum_arrays(c.calibration_positives) as positives
        from champion join ml_internal.cohort_counts c on c.model_id = champion.id
        where c.score = 'ml' and c.role in ('champion', 'canary')
          and c.cohort is null and c.detected_month is null
          and c.source <> 'seen_in_training' and num_nulls(c.pattern_type, c.timeframe) >= 1
        group by c.pattern_type, c.timeframe
    ), grouped as (
        select c.pattern_type, c.timeframe, sum(b.n) as n, sum(b.total) as said,
               sum(b.positives) as came,
               jsonb_agg(jsonb_build_object('n', b.n, 'predicted', b.total / b.n,
                                            'observed', b.positives / b.n)
                         order by b.bin) as bins
        from cohort c
        cross join unnest(c.n, c.sums, c.positives) with ordinality b (n, total, positives, bin)
        where b.n > 0
        group by c.pattern_type, c.timeframe
    ), drift as (
        select d.name, max(d.psi) filter (where d.complete) as most,
               jsonb_agg(jsonb_build_object('start', d.window_start, 'psi', d.psi,
                                            'psi_critical_value', d.psi_critical_value,
                                            'n', d.n, 'level', d.level,
                                            'complete', d.complete)
                         order by d.window_start) as windows
        from champion join ml.feature_drift d on d.model_version = champion.version
        where d.psi is not null
        group by d.name
    )
    select jsonb_build_object(
        'helping', ml_internal.helping_json(),
        'health', ml.health_json(),
        'metrics', ml.metrics_json('minute'),
        'hours', ml.metrics_json('hour') -> 'history',
        'alerts', ml.alerts_json() -> 'alerts',
        'timeline', coalesce((select jsonb_agg(to_jsonb(t))
                              from (select * from ml.model_timeline limit 20) t), '[]'),
        'confidences', (select jsonb_build_object('edges', to_jsonb(champion.score_edges),
                                                  'counts', to_jsonb(score.counts))
                        from champion cross join score where score.counts is not null),
        'calibration', coalesce((select g.bins from grouped g
                                 where num_nulls(g.pattern_type, g.timeframe) = 2), '[]'),
        -- The largest of each kind: there may be hundreds of types.
        'groups', coalesce((
            select jsonb_agg(jsonb_build_object(
                       'kind', g.kind, 'name', g.name, 'n', g.n,
                       'predicted', g.said / g.n, 'observed', g.came / g.n,
                       'low', ml_internal.wilson(g.came, g.n, -1),
                       'high', ml_internal.wilson(g.came, g.n, 1), 'bins', g.bins)
                       order by g.kind, g.n desc, g.name)
            from (select t.*, row_number() over (partition by t.kind
                                                 order by t.n desc, t.name) as place
                  from (select case when pattern_type is null then 'timeframe'
                                    else 'pattern type' end as kind,
                               coalesce(pattern_type, timeframe) as name, n, said, came, bins
                        from grouped where num_nulls(pattern_type, timeframe) = 1) t) g
            where g.place <= 12), '[]'),
        'limits', (
            select jsonb_build_object(
                'sla_warning', s.sla_warning, 'sla_critical', s.sla_critical,
                'error_warning', s.error_warning, 'error_critical', s.error_critical,
                'fallback_warning', s.fallback_warning, 'fallback_critical', s.fallback_critical,
                'cache_warning', s.cache_warning, 'cache_critical', s.cache_critical)
            from ml.settings s),
        -- Those that drifted most in a finished window: a model may have more than a hundred.
        'drift', coalesce((
            select jsonb_agg(jsonb_build_object('name', t.name, 'windows', t.windows)
                             order by t.most desc nulls last, t.name)
            from (select * from drift order by most desc nulls last, name limit 10) t), '[]'))
$$;
comment on function ml_internal.page_json() is 'What the status page shows';
