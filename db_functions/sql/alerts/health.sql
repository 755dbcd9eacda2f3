create view ml.health with (security_invoker = true) as
with champion as (
    select c.model_id as id, c.version from ml_internal.champion c
), worker as (
    select count(*) as alive,
           count(*) filter (where w.model_version = c.version and w.model_error is null) as serving,
           count(*) filter (where w.model_version is not null) as loaded
    from ml_internal.live_workers w left join champion c on true
    where w.kind = 'worker'
), alert as (
    select count(*) as standing, count(*) filter (where level = 'critical') as critical
    from ml.alerts
), metric as (
    select m.* from ml.settings s
    cross join lateral ml_internal.metrics_between('minute', clock_timestamp() - s.alert_window,
                                                   clock_timestamp(), true) m
    where m.source = 'live' and m.model_version is null
)
select case when w.alive = 0 or c.id is null or w.loaded = 0 then 'unavailable'
            when a.standing > 0 then 'degraded'
            else 'healthy' end as status,
       s.enabled as ml_enabled, c.version as champion, c.id is not null
           and w.serving > 0 as model_loaded,
       w.alive as workers_alive, w.serving as workers_serving, q.depth as queue_depth,
       q.oldest_age_ms, q.dead_letters, coalesce(m.rows, 0) as rows, m.error_rate, m.fallback_rate,
       m.cache_hit_rate, m.within_sla, m.latency_p50_ms, m.latency_p99_ms, s.sla_ms,
       s.alert_window as measured_over,
       c.id is not null and exists (select from ml_internal.baselines b
                                    where b.model_id = c.id) as baseline_set,
       a.standing as alerts, a.critical as critical_alerts, clock_timestamp() as as_of
from ml.settings s
cross join worker w
cross join alert a
cross join ml.queue_status q
left join champion c on true
left join metric m on true;
comment on view ml.health is 'One row: whether scoring works, how well, and what needs attention';
comment on column ml.health.status is
    'unavailable (no worker has a model to serve), degraded (an alert stands) or healthy';
comment on column ml.health.ml_enabled is
    'the setting enabled: false leaves the rule confidence in place';
comment on column ml.health.champion is
    'version of the model that serves; null while there is none';
comment on column ml.health.model_loaded is 'whether a live worker has the champion loaded';
comment on column ml.health.workers_alive is
    'worker processes with a heartbeat in the last 30 seconds';
comment on column ml.health.workers_serving is
    'live workers that have the champion loaded without an error';
comment on column ml.health.queue_depth is 'rows that wait for a score';
comment on column ml.health.oldest_age_ms is
    'age of the oldest waiting row, milliseconds; null when none waits';
comment on column ml.health.dead_letters is
    'patterns whose scoring failed and that were not redriven';
comment on column ml.health.rows is 'live rows decided within measured_over';
comment on column ml.health.error_rate is 'share of these rows that failed, 0 to 1';
comment on column ml.health.fallback_rate is
    'share of these rows that fell back to the rule, 0 to 1';
comment on column ml.health.cache_hit_rate is 'share of series found in the bar cache, 0 to 1';
comment on column ml.health.within_sla is 'share of these rows scored within sla_ms, 0 to 1';
comment on column ml.health.latency_p50_ms is 'median of insert to score, milliseconds';
comment on column ml.health.latency_p99_ms is '99 % quantile of insert to score, milliseconds';
comment on column ml.health.sla_ms is
    'the setting: service level from insert to score, milliseconds';
comment on column ml.health.measured_over is
    'how far back the rates look: the setting alert_window';
comment on column ml.health.baseline_set is 'whether the champion has a drift baseline';
comment on column ml.health.alerts is 'alerts that stand now';
comment on column ml.health.critical_alerts is 'alerts that stand now and are critical';
comment on column ml.health.as_of is 'when this was read';
