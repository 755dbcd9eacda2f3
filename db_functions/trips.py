"""Statements that travel to the server together, in one send, so that they cost one trip.

psycopg's own pipeline sends each statement by itself as soon as it is given: on a socket of the same host, where a trip
costs no more than waking the other process, that is slower than no pipeline.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg._pipeline import Pipeline
from psycopg.generators import send
from psycopg.pq import TransactionStatus

from db_functions.sessions import PinnedConnection

_BEGIN = b"begin isolation level read committed read write not deferrable"


class _Together(Pipeline):
    """Keeps what it is given until the block ends."""

    def _communicate_gen(self) -> Iterator[Any]:  # type: ignore[override]
        yield from ()

    def _exit_gen(self) -> Iterator[Any]:  # type: ignore[override]
        self._enqueue_sync()
        while self.command_queue:
            self.command_queue.popleft()()
        yield from send(self.pgconn)
        yield from self._fetch_gen(flush=False)


@contextmanager
def together(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Send the statements of the block at its end, in one go; their rows are there after it.

    The first error is raised, and the statements behind it do not run. No COPY.
    """
    with connection.lock:
        pipeline = connection._pipeline = _Together(connection)
    try:
        with pipeline:
            yield
    finally:
        connection._pipeline = None


@dataclass(frozen=True, slots=True)
class Ends:
    """BEGIN and COMMIT of a transaction, for the caller to send together with its statements."""

    connection: psycopg.Connection[Any]
    nested: bool
    """Within a transaction of the caller's: there is nothing to begin or to commit."""

    def begin(self) -> None:
        if not self.nested:
            cursor = psycopg.Cursor(self.connection)
            cursor.execute(_BEGIN, prepare=False)
            if isinstance(self.connection, PinnedConnection) and self.connection.pinned:
                cursor.execute(self.connection.pinned)

    def commit(self) -> None:
        if not self.nested:
            self.connection.execute("commit", prepare=False)


@contextmanager
def joined_transaction(connection: psycopg.Connection[Any]) -> Iterator[Ends]:
    """As ``connection.transaction()``, but the caller sends BEGIN, and may send COMMIT."""
    if _is_open(connection):
        with connection.transaction():
            yield Ends(connection, nested=True)
        return
    ends = Ends(connection, nested=False)
    try:
        yield ends
        if _is_open(connection):
            ends.commit()
    except BaseException:
        if _is_open(connection):
            with suppress(psycopg.Error):
                connection.execute("rollback", prepare=False)
        raise


def _is_open(connection: psycopg.Connection[Any]) -> bool:
    """Whether a transaction is open, failed or not."""
    return connection.info.transaction_status in (TransactionStatus.INTRANS, TransactionStatus.INERROR)
