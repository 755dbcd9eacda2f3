-- Backfill is announced to nobody: no application waits for it.
select w.written_at, w.skipped,
       case when cardinality(%(queue_ids)s::bigint[]) > 0 then ml.announce_scores(%(pattern_ids)s::uuid[]) end
from ml.write_batch(
    %(role)s, %(champion)s, %(model)s, %(queue_ids)s::bigint[], %(enqueued_at)s::timestamptz[], %(pattern_ids)s::uuid[],
    %(reasons)s::text[], %(confidence)s::real[], %(probabilities)s, %(quality)s, %(bars)s::smallint[], %(features)s::real[],
    %(history)s, %(input_hashes)s::bytea[], %(inference_ms)s::real, %(cache_hits)s::integer, %(cache_misses)s::integer,
    %(rescore)s, %(worker)s) w
