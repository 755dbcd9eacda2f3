create view ml.drift_windows with (security_invoker = true) as
select m.version, date_bin(w.width, now(), timestamptz '2001-01-01 00:00Z') - 13 * w.width as since, w.width
from (select make_interval(secs => extract(epoch from s.drift_window)::double precision) as width from ml.settings s) w
cross join ml.models m
where exists (select from ml.baselines b where b.model_id = m.id)
  and (exists (select from ml.feature_rollups r
               where r.model_id = m.id and r.grain = 'day' and r.source = 'live'
                 and r.bucket >= date_bin(w.width, now(), timestamptz '2001-01-01 00:00Z') - 14 * w.width - interval '1 day')
       or m.id in (select f.model_id from ml.fresh_features f));
comment on view ml.drift_windows is
    'Internal: the models in use, and the first of the newest 14 windows (aligned to Monday, UTC) in which drift is measured';
