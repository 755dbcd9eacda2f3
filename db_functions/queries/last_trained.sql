-- Up to which pattern the newest trained model has learnt, Unix seconds.
select m.version, (m.metrics #>> '{trained,until}')::bigint as trained_until
from ml.models m
where m.metrics ? 'trained'
order by m.id desc
limit 1
