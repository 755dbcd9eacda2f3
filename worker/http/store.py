"""Connections of the HTTP process: a few, read-only, with a short statement timeout."""

from __future__ import annotations

import queue
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg

from db_functions.database import Connection, connect
from db_functions.queries import query

KEPT = 4
"""Idle connections at most; a request beyond them opens one and closes it again."""
_SETTINGS = "set transaction read only; set local statement_timeout = '5s'; set local jit = off"
"""Of each transaction and not of the session, which a pooler lends to others afterwards."""


class Store:
    """Runs named queries for request threads; one connection serves one request at a time."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._idle: queue.LifoQueue[Connection] = queue.LifoQueue(KEPT)

    def rows(self, name: str, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """The answer of a named query. Raises psycopg.Error or DatabaseUnavailable."""
        with self._connection() as connection, connection.transaction():
            connection.execute(_SETTINGS)
            return connection.execute(query(name), parameters).fetchall()

    def value(self, name: str, parameters: Mapping[str, Any] | None = None) -> Any:
        return self.rows(name, parameters)[0][0]

    def write(self, name: str, parameters: Mapping[str, Any]) -> Any:
        """The one value of a function that writes, over a connection of its own."""
        with connect(self._url, application_name="pattern-scoring http", autocommit=True) as connection:
            row = connection.execute(query(name), parameters).fetchone()
        assert row is not None
        return row[0]

    def close(self) -> None:
        while not self._idle.empty():
            self._idle.get_nowait().close()

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        # One that sat idle may have been cut meanwhile: those are tried, and then a fresh one.
        connection = self._lively() or self._fresh()
        try:
            yield connection
        except psycopg.Error:
            connection.close()
            raise
        try:
            self._idle.put_nowait(connection)
        except queue.Full:
            connection.close()

    def _lively(self) -> Connection | None:
        while True:
            try:
                connection = self._idle.get_nowait()
            except queue.Empty:
                return None
            try:
                connection.execute(query("backend"))
            except psycopg.Error:
                connection.close()
            else:
                return connection

    def _fresh(self) -> Connection:
        connection = connect(self._url, application_name="pattern-scoring http", autocommit=True, answer_timeout_s=10.0)
        # Nor may a statement be prepared on a connection that a pooler lends.
        connection.prepare_threshold = None
        return connection
