"""Session profiles: the one place for every ``SET`` that a program sends.

Behind a pooler a server connection is lent to others between transactions. A profile of a session then sets nothing and
prepares no statement, so that nothing is left behind; a profile of a transaction works everywhere.
"""

from __future__ import annotations

from typing import Any

import psycopg

from db_functions.queries import fetch_value

_LOCK_TIMEOUT = "set lock_timeout = '5s'; "
_SCORING = (
    # Every statement finds its rows by key, so one plan serves every batch: a plan made while a table was small must
    # not become a scan when it grows, planning each write again costs 0.6 ms, and jit costs more than any statement.
    "set jit = off; set enable_seqscan = off; set enable_hashjoin = off; set enable_mergejoin = off; "
    "set plan_cache_mode = force_generic_plan; "
    # A crash of the server undoes a score together with the removal from the queue, so nothing is lost.
    "set synchronous_commit = off; "
    + _LOCK_TIMEOUT
    + "set statement_timeout = '60s'; set idle_in_transaction_session_timeout = '60s'"
)
_UPKEEP = "set jit = off; " + _LOCK_TIMEOUT + "set statement_timeout = '10min'"
_DURABLE = "set synchronous_commit = on"
_READING = "set transaction read only; set local statement_timeout = '5s'; set local jit = off"


def is_pooled(connection: psycopg.Connection[Any]) -> bool:
    """Whether a pooler stands between: the backend that answers is not the one that the connection began with."""
    return bool(fetch_value(connection, "backend") != connection.info.backend_pid)


def prepare_scoring(connection: psycopg.Connection[Any]) -> None:
    """The profile of workers and backfills; ``connection`` must be in autocommit mode."""
    _prepare(connection, _SCORING)


def prepare_upkeep(connection: psycopg.Connection[Any]) -> None:
    """The profile of upkeep, whose tasks may take minutes."""
    _prepare(connection, _UPKEEP)


def prepare_reading(connection: psycopg.Connection[Any]) -> None:
    """For connections that serve one read-only transaction after another: no statement is prepared."""
    connection.prepare_threshold = None


def make_durable(connection: psycopg.Connection[Any]) -> None:
    """Let commits wait for the disk from now on, and with the first of them everything before it."""
    connection.execute(_DURABLE)


def begin_reading(connection: psycopg.Connection[Any]) -> None:
    """Make the current transaction read-only, with a short statement timeout."""
    connection.execute(_READING)


def begin_rehearsal(connection: psycopg.Connection[Any], lock_timeout_ms: int) -> None:
    """Let the current transaction wait for a lock for ``lock_timeout_ms`` at most."""
    connection.execute(f"set local lock_timeout = {lock_timeout_ms:d}".encode())


def _prepare(connection: psycopg.Connection[Any], settings: str) -> None:
    if is_pooled(connection):
        connection.prepare_threshold = None
    else:
        connection.execute(settings)
