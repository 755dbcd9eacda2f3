select ml_internal.write_attributions(
    %(pattern_id)s::uuid, %(version)s, %(scored_at)s, %(sampled)s, %(members)s::text[],
    %(scales)s::text[], %(bases)s::double precision[], %(answers)s::double precision[],
    %(contributions)s::double precision[],
    %(standard_errors)s::double precision[])
