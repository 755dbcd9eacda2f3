-- Of the champion, in its newest whole window with rows enough: drift and data quality that have
-- lasted drift_windows.
create view ml_internal.alert_drift with (security_invoker = true) as
with champion as (
    select c.version, w.width
    from ml_internal.champion c
    join ml_internal.drift_windows w on w.version = c.version
), newest as (
    select distinct on (d.kind, d.name) d.*, s.psi_warning, s.psi_critical, s.missing_warning,
           s.missing_critical, s.drift_alpha, s.drift_windows
    from champion c
    cross join ml.settings s
    cross join lateral (select date_bin(c.width, now(),
                                        timestamptz '2001-01-01 00:00Z') as newest) b
    -- As far back as tells how long it lasts, and four windows more: a weekend has no rows, and
    -- interrupts nothing.
    cross join lateral ml_internal.measure_drift(
        c.version, b.newest - (s.drift_windows + 4) * c.width, b.newest, c.width) d
    where d.n >= s.drift_min_rows and d.complete
    order by d.kind, d.name, d.window_start desc
)
select case n.kind when 'output' then 'prediction_drift' else 'feature_drift' end as type,
       n.name as subject,
       case when n.windows_in_a_row >= n.drift_windows then n.level end as level,
       case when n.p_adjusted > n.drift_alpha then null
            when n.windows_in_a_row >= n.drift_windows
                and n.psi >= 0.8 * n.psi_critical then 'critical'
            when n.psi >= 0.8 * n.psi_warning then 'warning' end as holds,
       n.psi as value,
       case when n.psi >= n.psi_critical then n.psi_critical else n.psi_warning end as threshold,
       format('%s of %s drifts from its baseline: PSI %s over %s rows since %s, '
              'chance explains %s; %s windows in a row',
              n.name, n.model_version, round(n.psi::numeric, 3), n.n,
              to_char(n.window_start at time zone 'UTC', 'YYYY-MM-DD HH24:MI'),
              round(n.psi_critical_value::numeric, 3), n.windows_in_a_row) as message,
       n.window_start, n.window_end
from newest n
where n.psi >= 0.8 * n.psi_warning
union all
select 'data_quality', n.name,
       case when n.quality_windows_in_a_row >= n.drift_windows then n.quality_level end,
       case when n.rise_p_adjusted > n.drift_alpha then null
            when n.quality_windows_in_a_row >= n.drift_windows
                and n.rise >= 0.8 * n.missing_critical then 'critical'
            when n.rise >= 0.8 * n.missing_warning then 'warning' end,
       n.rise,
       case when n.rise >= n.missing_critical then n.missing_critical else n.missing_warning end,
       format('%s of %s: %s %% missing, %s %% infinite or unseen over %s rows since %s; '
              'its baseline has %s %% and %s %%',
              n.name, n.model_version, round((100 * n.missing_share)::numeric, 1),
              round((100 * coalesce(n.infinite_share, n.unseen_share))::numeric, 1), n.n,
              to_char(n.window_start at time zone 'UTC', 'YYYY-MM-DD HH24:MI'),
              round((100 * n.baseline_missing_share)::numeric, 1),
              round((100 * coalesce(n.baseline_infinite_share, n.baseline_unseen_share))::numeric,
                    1)), n.window_start, n.window_end
from newest n
where n.rise >= 0.8 * n.missing_warning;
comment on view ml_internal.alert_drift is
    'Internal: drift and data quality that call for an alert';
