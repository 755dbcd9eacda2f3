create view ml.alerts with (security_invoker = true) as
with live as (
    select * from ml_internal.alert_states where type in ('no_worker', 'no_model', 'stalled_queue')
)
select l.id, l.level, l.type, l.subject, l.message, l.value, l.threshold,
       l.window_start, l.window_end, l.since, l.last_seen,
       l.acknowledged_at,
       l.acknowledged_by, l.acknowledged_because
from ml.alert_log l
where l.cleared_at is null and l.type not in ('no_worker', 'no_model', 'stalled_queue')
union all
-- As they are now, whether or not anybody has been there to write them down.
select l.id, v.level, v.type, v.subject, v.message, v.value, v.threshold, null, null,
       coalesce(l.since, v.since), clock_timestamp(),
       l.acknowledged_at, l.acknowledged_by, l.acknowledged_because
from live v
left join ml.alert_log l on l.cleared_at is null and (l.type, l.subject) = (v.type, v.subject);
comment on view ml.alerts is 'What needs attention: alerts that stand now';
comment on column ml.alerts.id is 'of ml.alert_log; null until a worker has recorded the alert';
comment on column ml.alerts.level is 'warning or critical';
comment on column ml.alerts.type is 'what is wrong; docs/runbook.md has an entry for each type';
comment on column ml.alerts.subject is
    'the model or variable that it is about; empty when it is about the whole system';
comment on column ml.alerts.message is 'what was measured, in a sentence';
comment on column ml.alerts.value is 'the figure that raised it';
comment on column ml.alerts.threshold is 'the limit that the figure passed';
comment on column ml.alerts.window_start is
    'from when on value was measured; null: from the beginning, or a state of the moment';
comment on column ml.alerts.window_end is
    'until when value was measured; null: a state of the moment, as of last_seen';
comment on column ml.alerts.since is 'when the condition began';
comment on column ml.alerts.last_seen is 'when the condition was last found true';
comment on column ml.alerts.acknowledged_at is
    'when an operator acknowledged it; null while none has';
comment on column ml.alerts.acknowledged_by is 'who acknowledged it';
comment on column ml.alerts.acknowledged_because is 'the reason given with ml.acknowledge';
