-- The newest model that was trained here, and the newest pattern it was trained on, Unix seconds.
select m.version, (m.metrics #>> '{trained,until}')::bigint as trained_until
from ml.models m
where m.metrics ? 'trained'
order by m.id desc
limit 1
