-- The migration that the database is at.
select version_num from public.ml_alembic_version
