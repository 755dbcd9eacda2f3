-- Upkeep that does not get through, and writes that an application's triggers edit.
create view ml_internal.alert_upkeep with (security_invoker = true) as
select 'upkeep_failing' as type, f.task as subject, 'warning' as level, 'warning' as holds,
       f.failures::double precision as value, 3::double precision as threshold,
       format('%s has failed %s times in a row: %s', f.task, f.failures, left(f.error, 300))
           as message, f.since
from ml_internal.failing_tasks f where f.failures >= 3
union all
select 'upkeep_failing', r.task, 'warning', 'warning', count(*), 0,
       format('%s patterns refuse to be written by %s; the newest: %s', count(*), r.task,
              left((array_agg(r.error order by r.refused_at desc))[1], 300)), min(r.refused_at)
from ml_internal.refusals r group by r.task
union all
select 'write_altered', '', 'warning', 'warning', sum(a.rows), 0,
       format('a trigger of pattern_events edits what the system writes: %s rows in %s, such as '
              'pattern %s', sum(a.rows), (select s.alert_window from ml.settings s),
              (array_agg(a.pattern_id order by a.at desc))[1]), min(a.at)
from ml_internal.altered_writes a
where a.at > clock_timestamp() - (select s.alert_window from ml.settings s)
having count(*) > 0;
comment on view ml_internal.alert_upkeep is
    'Internal: upkeep that does not get through, and edited writes, that call for an alert';
