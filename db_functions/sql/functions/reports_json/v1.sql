-- What the HTTP endpoints answer, for whoever asks in SQL or through PostgREST: the views, as one JSON value each.
create or replace function ml.health_json() returns jsonb
language sql stable set search_path = pg_catalog, pg_temp
as $$
    select to_jsonb(h) || jsonb_build_object('phase5_enabled', h.ml_enabled) from ml.health h
$$;
comment on function ml.health_json() is 'ml.health as JSON; phase5_enabled is the earlier system''s name of ml_enabled';

create or replace function ml.metrics_json(grain text default 'minute') returns jsonb
language sql stable set search_path = pg_catalog, pg_temp
as $$
    select jsonb_build_object(
        'current', (select to_jsonb(m) - array['period', 'model_version', 'source'] from ml.metrics m
                    where m.period = 'alert_window' and m.model_version is null and m.source = 'live'),
        'history', coalesce((select jsonb_agg(to_jsonb(m) - array['grain', 'model_version', 'source'] order by m.bucket)
                             from ml.metrics_history m
                             where m.grain = metrics_json.grain and m.model_version is null and m.source = 'live'), '[]'))
$$;
comment on function ml.metrics_json(text) is 'Live rows of all models as JSON: now, and per minute, hour or day';

create or replace function ml.alerts_json() returns jsonb
language sql stable set search_path = pg_catalog, pg_temp
as $$
    select jsonb_build_object(
        'alerts', coalesce(jsonb_agg(to_jsonb(a) order by a.level = 'critical' desc, a.since), '[]'),
        'count', count(*), 'timestamp', clock_timestamp())
    from ml.alerts a
$$;
comment on function ml.alerts_json() is 'ml.alerts as JSON, the critical ones first';

-- The status page asks once. Confidences and calibration are the champion's, from the counts.
create or replace function ml.page_json() returns jsonb
language sql stable set search_path = pg_catalog, pg_temp
as $$
    with champion as (
        select m.id, m.version, m.score_edges, m.calibration_edges
        from ml.aliases a join ml.models m on m.id = a.model_id
        where a.alias = 'champion' and a.valid_to is null
    ), score as (
        select ml.sum_arrays(c.scores) as counts
        from champion join ml.metric_counts c on c.model_id = champion.id
        where c.grain = 'hour' and c.bucket >= clock_timestamp() - interval '7 days' and c.role in ('champion', 'canary')
    ), cohort as (
        -- All weeks, pattern types and timeframes are counted as one group too.
        select ml.sum_arrays(c.calibration) as n, ml.sum_arrays(c.calibration_sums) as sums,
               ml.sum_arrays(c.calibration_positives) as positives
        from champion join ml.cohort_counts c on c.model_id = champion.id
        where c.score = 'ml' and c.role in ('champion', 'canary')
          and c.cohort is null and c.pattern_type is null and c.timeframe is null
    ), bin as (
        select i, cohort.n[i] as n, cohort.sums[i] / cohort.n[i] as predicted,
               cohort.positives[i] / cohort.n[i] as realised
        from cohort cross join generate_subscripts(cohort.n, 1) i
        where cohort.n[i] > 0
    ), drift as (
        select d.name, max(d.psi) as most,
               jsonb_agg(jsonb_build_object('start', d.window_start, 'psi', d.psi, 'psi_critical_value', d.psi_critical_value,
                                            'n', d.n, 'level', d.level) order by d.window_start) as windows
        from champion join ml.feature_drift d on d.model_version = champion.version
        where d.psi is not null
        group by d.name
    )
    select jsonb_build_object(
        'health', ml.health_json(),
        'metrics', ml.metrics_json('minute'),
        'hours', ml.metrics_json('hour') -> 'history',
        'alerts', ml.alerts_json() -> 'alerts',
        'timeline', coalesce((select jsonb_agg(to_jsonb(t)) from (select * from ml.model_timeline limit 20) t), '[]'),
        'confidences', (select jsonb_build_object('edges', to_jsonb(champion.score_edges), 'counts', to_jsonb(score.counts))
                        from champion cross join score where score.counts is not null),
        'calibration', coalesce((select jsonb_agg(jsonb_build_object('n', bin.n, 'predicted', bin.predicted, 'realised', bin.realised)
                                                  order by bin.i) from bin), '[]'),
        -- Those that drifted most: a model may have more than a hundred.
        'drift', coalesce((select jsonb_agg(jsonb_build_object('name', t.name, 'windows', t.windows) order by t.most desc, t.name)
                           from (select * from drift order by most desc, name limit 25) t), '[]'))
$$;
comment on function ml.page_json() is 'What the status page shows';

do $$
declare
    name text;
begin
    foreach name in array array['health_json()', 'metrics_json(text)', 'alerts_json()', 'page_json()'] loop
        execute format('alter function ml.%s owner to ml_owner', name);
        execute format('revoke all on function ml.%s from public', name);
        execute format('grant execute on function ml.%s to ml_analyst, ml_publisher, ml_operator', name);
    end loop;
end
$$;
