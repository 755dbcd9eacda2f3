select ml.announce_scores(%(pattern_ids)s::uuid[])
