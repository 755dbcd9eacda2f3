select ml_internal.announce_scores(%(pattern_ids)s::uuid[])
