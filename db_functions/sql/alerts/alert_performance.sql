-- Of the champion, on live rows that it had not seen: calibration and gap of its newest week with
-- labels enough, or of all its weeks where no week has them; what was served since the settings of
-- the blend last changed.
create view ml_internal.alert_performance with (security_invoker = true) as
with champion as (
    select c.model_id, c.version from ml_internal.champion c
), calibration as (
    select c.*, s.calibration_warning, s.calibration_critical
    from champion h
    join ml.calibration_summary c on c.model_version = h.version
    cross join ml.settings s
    where c.role = 'champion' and c.source = 'live' and c.score = 'ml'
      and c.detected_month is null and c.pattern_type is null and c.timeframe is null
      and c.n >= s.label_min_rows
    order by c.cohort desc nulls last limit 1
), gap as (
    select g.*, s.gap_warning, s.gap_critical
    from champion h
    join ml.performance_gap g on g.model_version = h.version
    cross join ml.settings s
    where g.role = 'champion' and g.source = 'live' and g.score = 'ml'
      and g.detected_month is null and g.pattern_type is null and g.timeframe is null
      and g.n >= s.label_min_rows
    order by g.cohort desc nulls last limit 1
), served as (
    -- With bounds that hold however often workers look.
    select c.version, k.baseline, k.rows, k.blocks, k.block_days, k.surely, k.e_value,
           -k.gain as difference, (k.gain_high - k.gain_low) / 2 as error, t.week, s.gap_critical
    from champion c
    cross join ml.settings s
    cross join (select ml_internal.blend_settled() as week offset 0) t
    join ml_internal.judge_skill(t.week) k on k.model_id = c.model_id
    where k.score = 'served' and num_nulls(k.pattern_type, k.timeframe) = 2 and k.gain < 0
)
select 'calibration' as type, c.model_version as subject, c.level,
       case when c.ece_excess < 3 * c.ece_deviation then null
            when c.ece_excess >= 0.8 * c.calibration_critical then 'critical'
            when c.ece_excess >= 0.8 * c.calibration_warning then 'warning' end as holds,
       c.ece_excess as value,
       case when c.ece_excess >= c.calibration_critical then c.calibration_critical
            else c.calibration_warning end as threshold,
       format('%s was off by %s on %s labelled rows %s, a calibrated model by %s; '
              'it said %s %%, %s %% came',
              c.model_version, round(c.ece::numeric, 3), c.n,
              coalesce('of the week of ' || c.cohort, 'of all weeks'),
              round(c.ece_expected::numeric, 3),
              round((100 * c.predicted)::numeric, 1),
              round((100 * c.observed)::numeric, 1)) as message,
       c.cohort at time zone 'UTC' as window_start,
       coalesce((c.cohort + 7) at time zone 'UTC', clock_timestamp()) as window_end
from calibration c
where c.ece_excess >= 0.8 * c.calibration_warning
union all
select 'performance_gap', g.model_version, g.level,
       case when g.gap < 3 * g.standard_error then null
            when g.gap >= 0.8 * g.gap_critical then 'critical'
            when g.gap >= 0.8 * g.gap_warning then 'warning' end,
       g.gap, case when g.gap >= g.gap_critical then g.gap_critical else g.gap_warning end,
       format('the Brier score of %s on %s labelled rows %s is %s; it expected %s',
              g.model_version, g.n,
              coalesce('of the week of ' || g.cohort, 'of all weeks'),
              round(g.brier_realised::numeric, 4),
              round(g.brier_expected::numeric, 4)),
       g.cohort at time zone 'UTC', coalesce((g.cohort + 7) at time zone 'UTC', clock_timestamp())
from gap g
where g.gap >= 0.8 * g.gap_warning
union all
select 'served_worse', d.baseline,
       case when d.surely <> 'worse' then null
            when d.difference >= d.gap_critical then 'critical' else 'warning' end,
       case when d.difference >= 0.8 * d.gap_critical then 'critical' else 'warning' end,
       d.difference, d.error,
       format('what applications read is surely worse than %s: by %s of Brier score on %s '
              'labelled rows of %s, at most %s by chance (%s blocks of %s days)',
              replace(d.baseline, '_', ' '), round(d.difference::numeric, 4), d.rows, d.version,
              round(d.error::numeric, 4), d.blocks, d.block_days),
       case when isfinite(d.week) then d.week at time zone 'UTC' end, clock_timestamp()
from served d
where d.e_value >= 10;
comment on view ml_internal.alert_performance is
    'Internal: calibration, performance and served confidences that call for an alert';
