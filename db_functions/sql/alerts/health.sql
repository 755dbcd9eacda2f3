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
comment on view ml.health is 'One row: whether scoring works, how well, and what needs somebody';
