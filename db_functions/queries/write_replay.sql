select ml_internal.write_replay(
    %(version)s, %(pattern_ids)s::uuid[], %(confidences)s::real[], %(probabilities)s::real[], %(quality)s::real[],
    %(bars)s::smallint[], %(features)s::real[], %(history)s::double precision[], %(input_hashes)s::bytea[], %(inference_ms)s::real)
