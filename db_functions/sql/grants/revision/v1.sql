-- Which upgrade this database has had is no secret; whoever checks a deployment asks.
grant select on public.ml_alembic_version to ml_worker, ml_analyst, ml_publisher, ml_operator;
