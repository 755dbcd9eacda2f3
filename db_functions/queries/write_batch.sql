select w.written_at, w.written, w.kept::text[] as kept,
       to_json(w.refused) as refused
from ml_internal.write_batch(
    %(champion)s, %(source)s, %(runs)s, %(scores)s, %(pairs)s, %(failures)s, %(failed_model)s,
    %(queue_ids)s::bigint[],
    %(cache_hits)s::integer, %(cache_misses)s::integer, %(rescore)s, %(worker)s) w
