select ml_internal.write_answers(%(ids)s::uuid[], %(answers)s::text[]::jsonb[])
