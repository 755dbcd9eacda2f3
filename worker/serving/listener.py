"""Waiting for the doorbell, for a signal, or for the end of the poll interval, whichever comes first."""

from __future__ import annotations

import os
import select
import signal
import socket
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import psycopg

from db_functions.database import Connection
from db_functions.queries import query

CHANNELS = ("ml_queue", "ml_model", "ml_settings")


class Listener:
    """Listens on its own connection. Notifications only wake the worker; they carry no work."""

    def __init__(self, connection: Connection, signals: Signals) -> None:
        self.connection = connection
        self._signals = signals
        self.renew()

    def renew(self) -> None:
        """Listen, or listen again: this notices a dead connection, and restores a LISTEN that was lost."""
        self.connection.execute("; ".join(f"listen {channel}" for channel in CHANNELS))

    def wait(self, timeout_s: float) -> bool:
        """Sleep until woken; True when the doorbell rang. Raises OperationalError when the connection is lost."""
        # A notification that arrived during other work was read off the socket already: look before sleeping.
        if self._drain(0):
            return True
        ready, _, _ = select.select([self.connection.fileno(), self._signals.fileno()], [], [], timeout_s)
        if self.connection.fileno() in ready:
            return self._drain(0) or self._check()
        return False

    def hears(self, other: Connection, timeout_s: float = 2.0) -> bool:
        """Whether a ring over another connection arrives here; it does not behind a pooler that shares sessions."""
        token = uuid4().hex
        other.execute(query("ring"), {"channel": CHANNELS[0], "payload": token})
        return any(ring.payload == token for ring in self.connection.notifies(timeout=timeout_s))

    def _drain(self, timeout_s: float) -> bool:
        return len(list(self.connection.notifies(timeout=timeout_s))) > 0

    def _check(self) -> bool:
        if self.connection.closed or self.connection.pgconn.status != psycopg.pq.ConnStatus.OK:
            raise psycopg.OperationalError("the listening connection is lost")
        return False


class Signals:
    """SIGTERM and SIGINT as a file descriptor to select on; the second signal ends the process at once."""

    def __init__(self) -> None:
        self.stopping = False
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        for end in (self._reader, self._writer):
            weakref.finalize(self, end.close)

    def fileno(self) -> int:
        return self._reader.fileno()

    def stop(self) -> None:
        """Stop as after a first signal."""
        self.stopping = True
        self._writer.send(b"\0")

    def pause(self, timeout_s: float) -> None:
        """Sleep until the time is up or a signal arrives."""
        if not self.stopping:
            select.select([self._reader], [], [], timeout_s)

    @contextmanager
    def installed(self) -> Iterator[Signals]:
        """Handle the signals in the main thread inside the block."""

        def handle(number: int, _frame: object) -> None:
            if self.stopping:
                os._exit(128 + number)
            self.stop()

        before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
