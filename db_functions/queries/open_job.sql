select o.job::text as id, o.is_new from ml_internal.open_job(%(kind)s, %(selection)s::jsonb) o
