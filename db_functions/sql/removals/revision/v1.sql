revoke select on public.ml_alembic_version from ml_worker, ml_analyst, ml_publisher, ml_operator;
