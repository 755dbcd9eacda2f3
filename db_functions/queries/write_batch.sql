select w.written_at, w.written, w.kept::text[] as kept,
       array(select r.pattern_id::text from unnest(w.refused) r) as refused,
       array(select r.error from unnest(w.refused) r) as refusals
from ml_internal.write_batch(
    %(champion)s, %(source)s, %(runs)s, %(scores)s, %(pairs)s, %(failures)s, %(failed_model)s,
    %(queue_ids)s::bigint[],
    %(cache_hits)s::integer, %(cache_misses)s::integer, %(rescore)s, %(worker)s) w
