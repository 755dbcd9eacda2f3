"""The demo's own database: made anew for every run, never one that somebody else made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

from psycopg.conninfo import make_conninfo

from db_functions.database import Connection, connect, database_url
from db_functions.psql import open_psql

DATABASE: Final = "pattern_demo"
_MARK: Final = "Made by the demo of pattern scoring, which drops it without asking."
_LOOK_UP = """
    SELECT shobj_description(oid, 'pg_database') FROM pg_catalog.pg_database WHERE datname = %s
"""


class DemoError(Exception):
    """The demo cannot go on; the message says why."""


def demo_url() -> str:
    """The URL of the demo's database on the server that every other command uses too."""
    url = database_url()
    if "://" in url:
        return urlsplit(url)._replace(path=f"/{DATABASE}").geturl()
    return make_conninfo(url, dbname=DATABASE)


@contextmanager
def fresh_database() -> Iterator[str]:
    """Drop what an earlier run left, create the database, and give its URL; it stays when the demo ends.

    Raises DemoError when a database of that name was not made by the demo, or when another demo is running.
    """
    with connect(application_name="demo", autocommit=True) as conn:
        # Held until the demo ends, so that a second one does not drop the database under it.
        locked = conn.execute("SELECT pg_try_advisory_lock(hashtext(%s))", [DATABASE]).fetchone()
        if locked != (True,):
            raise DemoError("another demo is running on this server")
        _recreate(conn)
        yield demo_url()


def _recreate(conn: Connection) -> None:
    found = conn.execute(_LOOK_UP, [DATABASE]).fetchone()
    if found is not None and found[0] != _MARK:
        raise DemoError(
            f"the server has a database {DATABASE} that the demo did not make; rename or drop it, or unset DATABASE_URL"
        )
    conn.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
    conn.execute(f"CREATE DATABASE {DATABASE}")
    conn.execute(f"COMMENT ON DATABASE {DATABASE} IS '{_MARK}'")


def look() -> int:
    """Open psql on the demo's database; raises DemoError where the demo has not run."""
    with connect(application_name="demo", autocommit=True) as conn:
        if conn.execute(_LOOK_UP, [DATABASE]).fetchone() != (_MARK,):
            raise DemoError("it has not run on this server yet: run `make demo` first")
    return open_psql(demo_url())
