select ml.write_failures(%(model)s, %(queue_ids)s::bigint[], %(pattern_ids)s::uuid[], %(errors)s::text[],
                         %(attempts)s::integer[], %(snapshots)s::jsonb[]),
       case when cardinality(%(queue_ids)s::bigint[]) > 0 then ml.announce_scores(%(pattern_ids)s::uuid[]) end
