select ml_internal.write_failures(%(model)s, %(queue_ids)s::bigint[], %(pattern_ids)s::uuid[], %(errors)s::text[],
                         %(attempts)s::integer[], %(snapshots)s::jsonb[])
