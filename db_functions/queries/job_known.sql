select exists (select from ml_internal.jobs j where j.id = %(job)s)
