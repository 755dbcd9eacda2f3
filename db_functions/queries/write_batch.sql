-- Backfill is announced to nobody: no application waits for it. Where a row was skipped neither announcement nor tally,
-- which are of all rows, is made here.
select w.written_at, w.skipped,
       case when w.skipped is null and cardinality(%(queue_ids)s::bigint[]) > 0 then
           ml_internal.announce_scores(%(pattern_ids)s::uuid[]) end,
       case when w.skipped is null and %(rows)s::integer is not null then
           ml_internal.write_tally(%(role)s, %(model)s, %(source)s, w.written_at, %(rows)s, %(cells)s::integer[], %(counts)s::integer[],
                          %(sums)s::double precision[], %(squares)s::double precision[]) end
from ml_internal.write_batch(
    %(role)s, %(champion)s, %(model)s, %(queue_ids)s::bigint[], %(enqueued_at)s::timestamptz[], %(pattern_ids)s::uuid[],
    %(reasons)s::text[], %(confidence)s::real[], %(probabilities)s, %(quality)s, %(bars)s::smallint[], %(features)s::real[],
    %(history)s, %(input_hashes)s::bytea[], %(inference_ms)s::real, %(cache_hits)s::integer, %(cache_misses)s::integer,
    %(rescore)s, %(worker)s) w
