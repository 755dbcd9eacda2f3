select (select max(q.id) from ml.queue q where q.pattern_id = %(id)s) as queue_id,
       p.scored_at is not null as scored, p.ml_metadata ->> 'reason' as reason,
       p.prediction_latency_ms,
       (select f.error from ml.failures f where f.pattern_id = %(id)s order by f.id desc
        limit 1) as error
from public.pattern_events p where p.id = %(id)s
