"""Runs the migrations: over one connection, one transaction a revision, one upgrade at a time.

A migration that would wait for a busy table gives up after LOCK_TIMEOUT instead of queueing every application behind
itself; it changes nothing then and can be tried again.
"""

from __future__ import annotations

from alembic import context
from sqlalchemy import create_engine, pool, text

from db_functions.database import database_url, sqlalchemy_url

LOCK_TIMEOUT = "5s"
ONE_UPGRADE_AT_A_TIME = 7_311_001

options = {
    # A name of its own, so that an application's Alembic can live in the same database.
    "version_table": "ml_alembic_version",
    "transaction_per_migration": True,
}


def run_offline() -> None:
    """Write the SQL to stdout; every decision is taken in SQL, so nothing needs a database here."""
    # `named` keeps the percent signs that a driver's parameter style would have doubled.
    context.configure(dialect_name="postgresql", dialect_opts={"paramstyle": "named"}, **options)
    with context.begin_transaction():
        context.run_migrations()


def run_online() -> None:
    url = context.config.attributes.get("url") or database_url()
    engine = create_engine(sqlalchemy_url(url), poolclass=pool.NullPool, connect_args={"application_name": "alembic"})
    with engine.connect() as connection:
        connection.execute(text("select pg_advisory_lock(:key)"), {"key": ONE_UPGRADE_AT_A_TIME})
        connection.execute(text(f"set lock_timeout = '{LOCK_TIMEOUT}'"))
        connection.commit()
        context.configure(connection=connection, **options)
        with context.begin_transaction():
            context.run_migrations()


if context.is_offline_mode():
    run_offline()
else:
    run_online()
