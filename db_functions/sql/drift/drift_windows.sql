create view ml_internal.drift_windows with (security_invoker = true) as
select m.version, n.opens - 10 * w.width as since, w.width
from (select make_interval(secs => extract(epoch from s.drift_window)::double precision) as width
      from ml.settings s) w
cross join lateral (select date_bin(w.width, now(), timestamptz '2001-01-01 00:00Z') as opens) n
cross join ml.models m
where exists (select from ml_internal.baselines b where b.model_id = m.id)
  and (exists (select from ml_internal.feature_rollups r
               where r.model_id = m.id and r.grain = 'day' and r.source = 'live'
                 and r.bucket >= n.opens - 11 * w.width - interval '1 day')
       or exists (select from ml_internal.tallies t where t.model_id = m.id and t.source = 'live'));
comment on view ml_internal.drift_windows is
    'Internal: the models in use, and the first of the ten whole windows before '
    'the running one (aligned to Monday, UTC) in which drift is measured';
