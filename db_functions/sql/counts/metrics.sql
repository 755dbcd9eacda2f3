create view ml.metrics with (security_invoker = true) as
select w.period, f.*
from (select 'alert_window' as period, 'minute' as grain,
             clock_timestamp() - s.alert_window as since from ml.settings s
      union all select 'hour', 'minute', clock_timestamp() - interval '1 hour'
      union all select 'day', 'hour', clock_timestamp() - interval '1 day') w
cross join lateral ml_internal.metrics_between(w.grain, w.since, clock_timestamp(), true) f;
comment on view ml.metrics is
    'What is scored now, how and how fast: over alert_window, the last hour and the last day';
