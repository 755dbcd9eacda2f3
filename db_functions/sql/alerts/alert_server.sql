-- Conditions of the server that the system lives with, and that get worse while nobody looks.
create view ml_internal.alert_server with (security_invoker = true) as
with usage as (
    select pg_catalog.pg_notification_queue_usage() as share
), state as (
    select 'notifications_full' as type,
           case when u.share >= 0.9 then 'critical' else 'warning' end as level,
           u.share as value, 0.5::double precision as threshold,
           format('the server''s queue of notifications is %s %% full: workers are not rung and '
                  'poll. A session that listens has been in a transaction for too long; '
                  'pg_stat_activity shows it', round((100 * u.share)::numeric)) as message,
           null::timestamptz as since
    from usage u where u.share >= 0.5
    union all
    select 'partition_missing', 'warning', 0, 1,
           format('ml.predictions has no partition for %s: its rows go into the default '
                  'partition, which is deleted from row by row', m.name), null
    from (select to_char((now() + interval '7 days') at time zone 'UTC', 'YYYY_MM') as name) m
    where to_regclass('ml.predictions_' || m.name) is null
    union all
    select 'partition_overdue', 'warning', count(*), 0,
           format('%s months of ml.predictions, %s first, are past keep_predictions and cannot be '
                  'dropped: a query or a transaction always has them open', count(*), min(o.name)),
           min(o.since)
    from ml_internal.overdue_partitions o
    where o.since < now() - interval '3 days'
    having count(*) > 0
)
select t.type, '' as subject, t.level, t.level as holds, t.value, t.threshold, t.message, t.since
from state t;
comment on view ml_internal.alert_server is
    'Internal: notifications and partitions that call for an alert';
