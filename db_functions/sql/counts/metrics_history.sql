create view ml.metrics_history with (security_invoker = true) as
select 'minute' as grain, f.*
from ml_internal.metrics_between('minute',
                                 date_trunc('minute', clock_timestamp()) - interval '3 hours',
                                 clock_timestamp()) f
union all
select 'hour', f.*
from ml_internal.metrics_between('hour', date_trunc('hour', clock_timestamp()) - interval '7 days',
                                 clock_timestamp()) f
union all
select 'day', f.*
from ml_internal.metrics_between('day', '-infinity', clock_timestamp()) f;
comment on view ml.metrics_history is
    'What was scored per minute (3 hours), hour (7 days) and day '
    '(all); ml_internal.metrics_between answers for any other time';
