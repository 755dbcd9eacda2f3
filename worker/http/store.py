"""Connections of the HTTP process: a small pool that reads, and one connection that writes.

A request that waits for a connection holds one of forty threads, so beyond a number of them they fail at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock
from typing import Any, TypeVar

from psycopg.rows import RowFactory, scalar_row
from psycopg_pool import ConnectionPool

from db_functions.database import CONNECTION_PARAMETERS, AnsweredConnection, connect
from db_functions.errors import ScoringError
from db_functions.queries import fetch_all, fetch_value
from db_functions.sessions import begin_reading, prepare_reading

Row = TypeVar("Row")

MOST = 8
"""Connections that read at most; further requests wait for one."""
_WAITING = 24
"""Requests that wait at most; further ones fail at once."""
_WAIT_S = 3.0
"""How long a request waits for a connection before it fails."""
_IDLE_S = 60.0
_ANSWER_TIMEOUT_S = 10.0
_NAME = "pattern-scoring http"


class Busy(ScoringError):
    """Another request writes; send this one again when it is done."""


class Store:
    """Runs named queries for request threads; one connection serves one request at a time."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._writing = Lock()
        self._pool = ConnectionPool(
            url,
            connection_class=AnsweredConnection,
            kwargs={**CONNECTION_PARAMETERS, "application_name": _NAME, "autocommit": True},
            min_size=0,
            max_size=MOST,
            max_waiting=_WAITING,
            timeout=_WAIT_S,
            max_idle=_IDLE_S,
            # An idle connection may have been cut meanwhile.
            check=ConnectionPool.check_connection,
            configure=_configure,
            name=_NAME,
            open=False,
        )

    def open(self) -> None:
        """Start the pool; connections are made when requests need them."""
        self._pool.open()

    def close(self) -> None:
        """Close every connection."""
        self._pool.close()

    def rows(self, name: str, factory: RowFactory[Row], parameters: Mapping[str, Any] | None = None) -> list[Row]:
        """The rows of a named query, in a read-only transaction. Raises psycopg.Error."""
        with self._pool.connection() as connection, connection.transaction():
            begin_reading(connection)
            return fetch_all(connection, name, factory, parameters)

    def value(self, name: str, parameters: Mapping[str, Any] | None = None) -> Any:
        """The one value of a named query. Raises psycopg.Error."""
        (value,) = self.rows(name, scalar_row, parameters)
        return value

    def write(self, name: str, parameters: Mapping[str, Any]) -> Any:
        """The one value of a function that writes, one at a time. Raises psycopg.Error, DatabaseUnavailable, Busy."""
        if not self._writing.acquire(blocking=False):
            raise Busy
        try:
            with connect(self._url, application_name=_NAME, autocommit=True) as connection:
                return fetch_value(connection, name, parameters)
        finally:
            self._writing.release()


def _configure(connection: AnsweredConnection) -> None:
    connection.answer_timeout_s = _ANSWER_TIMEOUT_S
    prepare_reading(connection)
