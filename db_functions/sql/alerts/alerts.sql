create view ml.alerts with (security_invoker = true) as
with live as (
    select * from ml_internal.alert_states where type in ('no_worker', 'no_model', 'stalled_queue')
)
select l.id, l.level, l.type, l.subject, l.message, l.value, l.threshold, l.since, l.last_seen,
       l.acknowledged_at,
       l.acknowledged_by, l.acknowledged_because
from ml.alert_log l
where l.cleared_at is null and l.type not in ('no_worker', 'no_model', 'stalled_queue')
union all
-- As they are now, whether or not anybody has been there to write them down.
select l.id, v.level, v.type, v.subject, v.message, v.value, v.threshold,
       coalesce(l.since, v.since), clock_timestamp(),
       l.acknowledged_at, l.acknowledged_by, l.acknowledged_because
from live v
left join ml.alert_log l on l.cleared_at is null and (l.type, l.subject) = (v.type, v.subject);
comment on view ml.alerts is 'What needs somebody: alerts that stand now';
