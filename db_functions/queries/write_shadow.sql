select ml_internal.write_shadow(
    %(challenger)s, %(champion)s, %(written_at)s, %(source)s, %(pattern_ids)s, %(canary)s::boolean[], %(confidence)s,
    %(champion_confidence)s, %(probabilities)s, %(quality)s, %(bars)s, %(features)s::real[], %(history)s,
    %(input_hashes)s, %(inference_ms)s::real, %(worker)s)
