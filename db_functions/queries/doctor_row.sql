select (select max(q.id) from ml.queue q where q.pattern_id = %(id)s),
       p.scored_at is not null, p.ml_metadata ->> 'reason', p.prediction_latency_ms
from public.pattern_events p where p.id = %(id)s
