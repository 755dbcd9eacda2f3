-- Conditions of rates. level is what the figure says now; holds is what it says against thresholds
-- relaxed by a fifth, so that an alert that was raised stays until the figure is well clear of
-- where it was raised.
create view ml_internal.alert_rates with (security_invoker = true) as
with now as (
    select s.*, m.rows, m.within_sla, m.error_rate, m.fallback_rate, m.cache_hit_rate
    from ml.settings s
    cross join lateral ml_internal.metrics_between('minute', clock_timestamp() - s.alert_window,
                                                   clock_timestamp(), true) m
    where m.source = 'live' and m.model_version is null and m.rows >= s.alert_min_rows
), rate as (
    select n.rows, n.alert_window, r.*
    from now n
    cross join lateral (values
        ('service_level', n.within_sla, -1, n.sla_warning, n.sla_critical,
         format('were scored within %s ms', n.sla_ms)),
        ('error_rate', n.error_rate, 1, n.error_warning, n.error_critical, 'failed'),
        ('fallback_rate', n.fallback_rate, 1, n.fallback_warning, n.fallback_critical,
         'fell back to the rule'),
        ('cache_hit_rate', n.cache_hit_rate, -1, n.cache_warning, n.cache_critical,
         'needed only series that were in memory')
    ) r (type, value, bad, warning, critical, meaning)
    where r.value is not null
)
select r.type, '' as subject,
       case when (r.value - r.critical) * r.bad > 0 then 'critical'
            when (r.value - r.warning) * r.bad > 0 then 'warning' end as level,
       case when (r.value - eased.critical) * r.bad > 0 then 'critical'
            when (r.value - eased.warning) * r.bad > 0 then 'warning' end as holds,
       r.value,
       case when (r.value - r.critical) * r.bad > 0 then r.critical else r.warning end as threshold,
       format('%s %% of %s live rows in %s %s; %s %s %% is the limit',
              round((100 * r.value)::numeric, 1), r.rows, r.alert_window,
              r.meaning, case when r.bad > 0 then 'at most' else 'at least' end,
              round((100 * r.warning)::numeric, 1)) as message,
       now() - r.alert_window as window_start, now() as window_end
from rate r
cross join lateral (select case when r.bad > 0 then 0.8 * r.warning
                                else r.warning + 0.2 * (1 - r.warning) end as warning,
                           case when r.bad > 0 then 0.8 * r.critical
                                else r.critical + 0.2 * (1 - r.critical) end as critical) eased
union all
-- Rows are scored, and applications read the rule all the same.
select 'nothing_blended', '', case when b.share < 0.01 then 'warning' end, 'warning', b.share, 0.01,
       format('%s of %s scored live rows of a day were blended: the threshold of %s keeps the '
              'score from the others; 0.5 blends every row', b.scored, b.rows, b.threshold),
       now() - interval '1 day', now()
from (select s.threshold, m.scored, m.scored + m.below_threshold as rows,
             m.scored / nullif(m.scored + m.below_threshold, 0)::double precision as share
      from ml.settings s
      cross join lateral ml_internal.metrics_between('hour', now() - interval '1 day', now(),
                                                     true) m
      where s.enabled and m.source = 'live' and m.model_version is null
        and m.scored + m.below_threshold >= s.alert_min_rows) b
where b.share < 0.02;
comment on view ml_internal.alert_rates is
    'Internal: whether service level, errors, fallbacks, cache hits and the share that is blended '
    'call for an alert';
