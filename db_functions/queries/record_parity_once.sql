-- One row for each kind of runtime is enough, however often workers start.
select ml_internal.record_parity(%(version)s, %(max_abs_diff)s, %(tolerance)s, %(rows)s,
                                 %(runtime)s)
where not exists (select from ml.parity_checks p join ml.models m on m.id = p.model_id
                  where m.version = %(version)s and p.runtime = %(runtime)s and p.passed)
