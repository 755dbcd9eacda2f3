create or replace view ml_internal.alert_conditions with (security_invoker = true) as
select type, subject, level, holds, value, threshold, message, since,
       null::timestamptz as window_start, null::timestamptz as window_end
from ml_internal.alert_states
union all
select type, subject, level, holds, value, threshold, message, since, null, null
from ml_internal.alert_server
union all
select type, subject, level, holds, value, threshold, message, since, null, null
from ml_internal.alert_upkeep
union all
select type, subject, level, holds, value, threshold, message, null, window_start, window_end
from ml_internal.alert_rates
where holds is not null
union all
select type, subject, level, holds, value, threshold, message, null, window_start, window_end
from ml_internal.alert_drift
where level is not null or holds is not null
union all
select type, subject, level, holds, value, threshold, message, null, window_start, window_end
from ml_internal.alert_performance where level is not null or holds is not null;
comment on view ml_internal.alert_conditions is
    'What calls for an alert now (level), and what an alert '
    'that was raised before still stands for (holds)';
