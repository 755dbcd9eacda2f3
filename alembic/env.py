"""Runs the migrations: over one connection, one transaction a revision, one upgrade at a time.

A migration that would wait for a busy table gives up after LOCK_TIMEOUT instead of queueing every application behind
itself; it changes nothing then and can be tried again. What goes wrong ends in one message, without the SQL.
"""

from __future__ import annotations

import sys

import psycopg
from alembic import context
from alembic.util import CommandError
from sqlalchemy import create_engine, pool, text
from sqlalchemy.exc import DBAPIError

from db_functions.database import database_url, sqlalchemy_url
from db_functions.errors import ScoringError

LOCK_TIMEOUT = "5s"
ONE_UPGRADE_AT_A_TIME = 7_311_001

options = {
    # A name and a place of its own, so that an application's Alembic can live in the same database.
    "version_table": "ml_alembic_version",
    "version_table_schema": "public",
    "transaction_per_migration": True,
}


def run_offline() -> None:
    """Write the SQL to stdout; every decision is taken in SQL, so nothing needs a database here."""
    # `named` keeps the percent signs that a driver's parameter style would have doubled.
    context.configure(dialect_name="postgresql", dialect_opts={"paramstyle": "named"}, **options)
    context.execute(f"set lock_timeout = '{LOCK_TIMEOUT}'")
    with context.begin_transaction():
        context.run_migrations()


def run_online() -> None:
    url = context.config.attributes.get("url") or database_url()
    engine = create_engine(sqlalchemy_url(url), poolclass=pool.NullPool, connect_args={"application_name": "alembic"})
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        driver.add_notice_handler(show_warning)
        connection.execute(text("select pg_advisory_lock(:key)"), {"key": ONE_UPGRADE_AT_A_TIME})
        connection.execute(text(f"set lock_timeout = '{LOCK_TIMEOUT}'"))
        connection.commit()
        context.configure(connection=connection, **options)
        with context.begin_transaction():
            context.run_migrations()


def show_warning(notice: psycopg.errors.Diagnostic) -> None:
    if notice.severity_nonlocalized == "WARNING":
        print(f"WARNING: {notice.message_primary}", file=sys.stderr)


def explain(error: DBAPIError) -> str:
    """What happened and what to do, as the server says it; SQLAlchemy's own text repeats the whole statement."""
    cause = error.orig
    if not isinstance(cause, psycopg.Error) or cause.diag.message_primary is None:
        return str(cause).strip()
    if isinstance(cause, psycopg.errors.LockNotAvailable):
        return (
            f"a table was in use by another session for longer than {LOCK_TIMEOUT}; nothing was left half done. "
            "Run the same command again when that session is done (pg_stat_activity shows sessions that are "
            "'idle in transaction')."
        )
    parts = (cause.diag.message_primary, cause.diag.message_detail, cause.diag.message_hint)
    return ". ".join(part.rstrip(".") for part in parts if part) + "."


if context.is_offline_mode():
    run_offline()
else:
    try:
        run_online()
    except DBAPIError as error:
        raise CommandError(explain(error)) from error
    except ScoringError as error:
        raise CommandError(str(error)) from error
