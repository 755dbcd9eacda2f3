-- Which server answers: two that took turns behind a pooler did not start in the same microsecond.
select pg_catalog.pg_postmaster_start_time() as started_at
