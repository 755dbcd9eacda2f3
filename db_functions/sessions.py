"""Session profiles: the one place for every ``SET`` that a program sends.

A database, a role or a server may have defaults under which our promises would not hold: another isolation level, a
search path, a format of dates, a timeout. So every connection sets what its program depends on. Behind a pooler a
server connection is lent to others between transactions; there the same is set within each transaction instead, and no
statement is prepared, so that nothing is left behind.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from db_functions.queries import fetch_value

_PINNED: Mapping[str, str] = {
    "search_path": "pg_catalog, pg_temp",
    # What psycopg reads, and JSON is made with; fewer digits would be another score.
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "extra_float_digits": "1",
    "standard_conforming_strings": "on",
    # Off would be an error where a policy applies to the rows that are read.
    "row_security": "on",
    "client_min_messages": "notice",
    "statement_timeout": "0",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "0",
    # Views of many expressions over few rows: on some servers compiling them takes a second, running them milliseconds.
    "jit": "off",
}
"""For every program."""
_SESSION: Mapping[str, str] = {
    # Of a statement outside a transaction block; BEGIN says the same for the others.
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
    "default_transaction_deferrable": "off",
    "idle_session_timeout": "0",
}
"""What has no meaning within a transaction."""
_SINCE_17: Mapping[str, str] = {"transaction_timeout": "0"}
_SCORING: Mapping[str, str] = {
    # Every statement finds its rows by key, so one plan serves every batch: a plan made while a table was small must
    # not become a scan when it grows, planning each write again costs 0.6 ms, and jit costs more than any statement.
    "jit": "off",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "plan_cache_mode": "force_generic_plan",
    # Of the scans that are left, those by key.
    "enable_indexscan": "on",
    "enable_indexonlyscan": "on",
    "enable_nestloop": "on",
    # A crash of the server undoes a score together with the removal from the queue, so nothing is lost.
    "synchronous_commit": "off",
    "lock_timeout": "5s",
    "statement_timeout": "60s",
    "idle_in_transaction_session_timeout": "60s",
    "timezone": "UTC",
}
_UPKEEP: Mapping[str, str] = {"jit": "off", "lock_timeout": "5s", "statement_timeout": "10min", "timezone": "UTC"}
_DURABLE: Mapping[str, str] = {"synchronous_commit": "on"}
_READING = "set transaction read only; set local statement_timeout = '5s'"


class PinnedCursor(psycopg.Cursor[Any]):
    """Begins a transaction with what its connection pins, where it has to."""

    def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        connection = self.connection
        if not isinstance(connection, PinnedConnection) or not connection.begins():
            return super().execute(query, params, **options)
        if connection.autocommit:
            with connection.transaction():
                return super().execute(query, params, **options)
        super().execute(connection.pinned)
        return super().execute(query, params, **options)


class PinnedConnection(psycopg.Connection[Any]):
    """A connection that may have to set up each transaction by itself, since a pooler lends it another session."""

    pinned: bytes = b""
    """The statement that each transaction begins with; none on a session of our own."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.cursor_factory = PinnedCursor

    def begins(self) -> bool:
        """Whether the next statement begins a transaction that has to be set up; those that travel together do not."""
        return bool(self.pinned) and self._pipeline is None and self.info.transaction_status == TransactionStatus.IDLE

    @contextmanager
    def transaction(self, *args: Any, **options: Any) -> Iterator[psycopg.Transaction]:
        begins = self.begins()
        with super().transaction(*args, **options) as block:
            if begins:
                self.execute(self.pinned)
            yield block


def is_pooled(connection: psycopg.Connection[Any]) -> bool:
    """Whether a pooler stands between: the backend that answers is not the one that the connection began with."""
    return bool(fetch_value(connection, "backend") != connection.info.backend_pid)


def pin(connection: psycopg.Connection[Any]) -> None:
    """What every program depends on; ``connection`` must be outside a transaction."""
    connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
    connection.read_only = False
    connection.deferrable = False
    if is_pooled(connection):
        _prepare(connection, {})
    else:
        connection.execute(pinned_statements(server_version=connection.info.server_version).encode())
    if not connection.autocommit:
        connection.commit()


def prepare_scoring(connection: psycopg.Connection[Any]) -> None:
    """The profile of workers and backfills; ``connection`` must be in autocommit mode."""
    _prepare(connection, _SCORING)


def prepare_upkeep(connection: psycopg.Connection[Any]) -> None:
    """The profile of upkeep, whose tasks may take minutes."""
    _prepare(connection, _UPKEEP)


def prepare_reading(connection: psycopg.Connection[Any]) -> None:
    """For connections that serve one read-only transaction after another: no statement is prepared."""
    pin(connection)
    connection.prepare_threshold = None


class Plans:
    """When a session's plans are made again: often while a table may still be small, ever more seldom later.

    A plan that reads a whole table of two rows is the best there is, and is kept while the table grows.
    """

    _FIRST = 64
    _FACTOR = 4

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self._rows = 0
        self._due = self._FIRST

    def worked_on(self, rows: int) -> None:
        """Note rows that were claimed; drops the plans when these are many more than they were made for."""
        self._rows += rows
        if self._rows >= self._due:
            self._due = self._rows * self._FACTOR
            discard_plans(self._connection)


def discard_plans(connection: psycopg.Connection[Any]) -> None:
    """Let the next run of each statement plan it again, for tables as they are then."""
    connection.execute("discard plans")


def make_durable(connection: psycopg.Connection[Any]) -> None:
    """Let commits wait for the disk from now on, and with the first of them everything before it."""
    if isinstance(connection, PinnedConnection) and connection.pinned:
        connection.pinned += b", " + _set_locally(_DURABLE)
    else:
        connection.execute(_sets(_DURABLE).encode())


def begin_reading(connection: psycopg.Connection[Any]) -> None:
    """Make the current transaction read-only, with a short statement timeout."""
    connection.execute(_READING)


def begin_rehearsal(connection: psycopg.Connection[Any], lock_timeout_ms: int) -> None:
    """Let the current transaction wait for a lock for ``lock_timeout_ms`` at most."""
    connection.execute(f"set local lock_timeout = {lock_timeout_ms:d}".encode())


def pinned_statements(profile: Mapping[str, str] | None = None, server_version: int = 0) -> str:
    """What the session of every program sets, and ``profile``, which goes before it."""
    newer = _SINCE_17 if server_version >= 170000 else {}
    return _sets({**_PINNED, **newer, **_SESSION, **(profile or {})})


def _prepare(connection: psycopg.Connection[Any], profile: Mapping[str, str]) -> None:
    if not is_pooled(connection):
        connection.execute(_sets(profile).encode())
        return
    connection.prepare_threshold = None
    if isinstance(connection, PinnedConnection):
        connection.pinned = b"select " + _set_locally({**_PINNED, **profile})


def _sets(settings: Mapping[str, str]) -> str:
    # A list of schemas is not one name, so it goes without quotes.
    return "; ".join(
        f"set {name} = {value}" if name == "search_path" else f"set {name} = '{value}'"
        for name, value in settings.items()
    )


def _set_locally(settings: Mapping[str, str]) -> bytes:
    """What a SELECT computes instead of SET LOCALs: a pipeline takes one statement at a time."""
    return ", ".join(f"pg_catalog.set_config('{name}', '{value}', true)" for name, value in settings.items()).encode()
