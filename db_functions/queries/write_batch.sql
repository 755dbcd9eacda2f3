select w.written_at, w.written, w.kept::text[] as kept
from ml_internal.write_batch(
    %(champion)s, %(source)s, %(runs)s, %(scores)s, %(pairs)s, %(failures)s, %(failed_model)s,
    %(queue_ids)s::bigint[],
    %(cache_hits)s::integer, %(cache_misses)s::integer, %(rescore)s, %(worker)s) w
