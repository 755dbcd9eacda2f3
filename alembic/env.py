"""Runs the migrations: over one connection, one transaction a revision, one upgrade at a time.

A migration that would wait for a busy table gives up after a while instead of queueing every application behind
itself, and a statement that takes too long is ended, with the locks that it holds; nothing has changed then and it can
be tried again. One that deadlocks with a session at work, which takes the same tables in another order, is tried again
here. What goes wrong ends in one message, without the SQL.
"""

from __future__ import annotations

import random
import re
import sys
import time

import psycopg
from alembic import context
from alembic.util import CommandError
from sqlalchemy import Connection, create_engine, pool, text
from sqlalchemy.exc import DBAPIError

from db_functions.database import database_url, show_warnings, sqlalchemy_url
from db_functions.ddl import statement
from db_functions.errors import ScoringError
from db_functions.queries import query
from db_functions.sessions import pinned_statements

ONE_UPGRADE_AT_A_TIME = 7_311_001
ATTEMPTS = 5
"""Of a revision that is chosen as the victim of a deadlock."""
TIMEOUTS = {"lock_timeout": "5s", "statement_timeout": "60s"}
"""For each statement of a revision, but for walks in batches; ``-x statement_timeout=10min`` replaces one."""

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
    for pin in pins():
        context.execute(pin)
    context.execute(f"select pg_advisory_lock({ONE_UPGRADE_AT_A_TIME})")
    for timeout in set_timeouts():
        context.execute(timeout)
    if leads_to_base():
        context.execute(statement(query("refuse_loss")))
    with context.begin_transaction():
        context.run_migrations()


def run_online() -> None:
    url = context.config.attributes.get("url") or database_url()
    engine = create_engine(
        sqlalchemy_url(url),
        poolclass=pool.NullPool,
        connect_args={"application_name": "alembic", "client_encoding": "UTF8"},
    )
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        show_warnings(driver)
        for pin in pins():
            connection.execute(text(pin))
        connection.commit()
        key = {"key": ONE_UPGRADE_AT_A_TIME}
        if not connection.execute(text("select pg_try_advisory_lock(:key)"), key).scalar():
            print("another upgrade or downgrade is under way: waiting for it", file=sys.stderr)
            connection.execute(text("select pg_advisory_lock(:key)"), key)
        # After that wait, which may take as long as the other one does.
        for timeout in set_timeouts():
            connection.execute(text(timeout))
        if leads_to_base():
            connection.execute(statement(query("refuse_loss")))
        connection.commit()
        migrate(connection)


def migrate(connection: Connection) -> None:
    """Run what there is to run, and a revision that was the victim of a deadlock again."""
    applied = list[str]()
    for attempt in range(1, ATTEMPTS + 1):
        context.configure(
            connection=connection, on_version_apply=lambda step, **_: applied.append(step.up_revision_id), **options
        )
        try:
            with context.begin_transaction():
                context.run_migrations()
        except DBAPIError as error:
            connection.rollback()
            deadlock = isinstance(error.orig, psycopg.errors.DeadlockDetected)
            # `+2` would be counted from the revision that it has come to.
            if not deadlock or attempt == ATTEMPTS or (applied and is_relative()):
                raise
            print("deadlocked with another session: trying again", file=sys.stderr)
            time.sleep(random.uniform(0.1, 0.5) * attempt)  # noqa: S311  # jitter, not a secret
        else:
            return


def leads_to_base() -> bool:
    try:
        return context.get_revision_argument() is None
    except KeyError:
        return False  # of a command that leads nowhere, such as `alembic current`


def is_relative() -> bool:
    return re.search("[+-]", str(context.get_revision_argument())) is not None


def timeouts() -> dict[str, str]:
    given = context.get_x_argument(as_dictionary=True)
    unknown = given.keys() - TIMEOUTS.keys()
    if unknown:
        raise CommandError(f"-x takes {' and '.join(TIMEOUTS)}, not {', '.join(sorted(unknown))}")
    return TIMEOUTS | given


def pins() -> list[str]:
    """What a session sets before all else; until it has its turn, it may wait for as long as that takes."""
    return pinned_statements({"lock_timeout": "0"}).split("; ")


def set_timeouts() -> list[str]:
    return [f"set {name} = '{value.replace(chr(39), '')}'" for name, value in timeouts().items()]


def explain(error: DBAPIError) -> str:
    """What happened and what to do, as the server says it; SQLAlchemy's own text repeats the whole statement."""
    cause = error.orig
    if not isinstance(cause, psycopg.Error) or cause.diag.message_primary is None:
        return str(cause).strip()
    limits, undone = timeouts(), "nothing was left half done. Run the same command again when"
    if isinstance(cause, psycopg.errors.LockNotAvailable):
        return (
            f"a table was in use by another session for longer than {limits['lock_timeout']}; {undone} that session "
            "is done (pg_stat_activity shows sessions that are 'idle in transaction')."
        )
    if isinstance(cause, psycopg.errors.QueryCanceled):
        return (
            f"a statement took longer than {limits['statement_timeout']} and was ended; {undone} the server is less "
            "busy, or with -x statement_timeout=10min."
        )
    if isinstance(cause, psycopg.errors.DeadlockDetected):
        between = (cause.diag.message_detail or "").rstrip(".").replace(".\n", "; ")
        return f"deadlocked with another session ({between}); {undone} the database is less busy."
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
