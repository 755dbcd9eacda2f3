"""Waiting for the doorbell, for a signal, or for the end of the poll interval, whichever comes first."""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import uuid4

import psycopg

from db_functions.database import Connection
from db_functions.queries import fetch_value, query
from worker.log import event

logger = logging.getLogger(__name__)

_READS = 64
"""Reads of the socket in one look, some 16 kB each; where more is waiting then, the channel is flooded."""
QUESTION = "question"
"""The payload with which ``ml.ask`` rings."""
DEAF_S = 30.0
"""How long a flooded channel is not listened to."""
_POLL_S = 0.25
"""How long to sleep at most meanwhile."""


class Listener:
    """Listens on its own connection. Notifications only wake the worker; they carry no work.

    Memory stays bounded whatever is sent: psycopg and libpq would read all of it before the next answer.
    """

    def __init__(self, connect: Callable[[], Connection], signals: Signals) -> None:
        self._connect = connect
        self._signals = signals
        self._deaf_until: float | None = None
        self._rung = False
        self.asked = False
        """Whether a question was heard of; for its reader to put back."""
        self._token: str | None = None
        """The payload that :meth:`hears` waits for."""
        self.connection = self._listen()

    def renew(self) -> None:
        """Listen, or listen again: this notices a dead connection, and restores a LISTEN that was lost."""
        if self._deaf_until is None and self._read():
            self.connection.execute(self._command)
        elif self._deaf_until is not None and time.monotonic() >= self._deaf_until:
            self.connection = self._listen()
            self._deaf_until = None

    def wait(self, timeout_s: float) -> bool:
        """Sleep until woken; True when there may be rows. Raises OperationalError when the connection is lost."""
        if self._deaf_until is not None:
            self._signals.pause(min(timeout_s, _POLL_S))
            return True
        # A notification that arrived during other work was read off the socket already: look before sleeping.
        if self._heard():
            return True
        if self.asked:
            return False
        ready, _, _ = select.select([self.connection.fileno(), self._signals.fileno()], [], [], timeout_s)
        if self.connection.fileno() in ready:
            return self._heard() or self._check()
        return False

    def hears_question(self) -> bool:
        """Whether a question has arrived since this was last asked; without sleeping."""
        if self._deaf_until is None:
            self._read()
        asked, self.asked = self.asked, False
        return asked

    def hears(self, other: Connection, timeout_s: float = 2.0) -> bool:
        """Whether a ring over another connection arrives here; it does not behind a pooler that shares sessions."""
        self._token = uuid4().hex
        other.execute(query("ring"), {"channel": self._channel, "payload": self._token})
        end = time.monotonic() + timeout_s
        while self._token is not None and time.monotonic() < end:
            select.select([self.connection.fileno()], [], [], max(0.0, end - time.monotonic()))
            if not self._read():
                return True
        return self._token is None

    def _listen(self) -> Connection:
        connection = self._connect()
        try:
            # With a handler psycopg keeps no list of what nobody has asked for.
            connection.add_notify_handler(lambda ring: self._note(ring.payload))
            self._channel: str = fetch_value(connection, "doorbell_channel")
            self._command = psycopg.sql.SQL("listen {}").format(psycopg.sql.Identifier(self._channel))
            connection.execute(self._command)
        except BaseException:
            connection.close()
            raise
        return connection

    def _note(self, payload: str) -> None:
        if payload == QUESTION:
            self.asked = True
        else:
            self._rung = True
        if payload == self._token:
            self._token = None

    def _heard(self) -> bool:
        flooded = not self._read()
        rung, self._rung = self._rung, False
        return rung or flooded

    def _read(self) -> bool:
        """Read what has arrived, within bounds; False when there was more, and the connection is closed."""
        pgconn = self.connection.pgconn
        for _ in range(_READS):
            ready, _, _ = select.select([self.connection.fileno()], [], [], 0)
            if ready:
                pgconn.consume_input()
            while ring := pgconn.notifies():
                self._note(ring.extra.decode(errors="replace"))
            if not ready or self.connection.closed or pgconn.status != psycopg.pq.ConnStatus.OK:
                return True
        self.connection.close()
        self._deaf_until = time.monotonic() + DEAF_S
        logger.warning(
            "the doorbell's channel is flooded: not listening to it for %(deaf_s)g s, looking every %(poll_s)g s",
            event("doorbell_flooded", deaf_s=DEAF_S, poll_s=_POLL_S),
        )
        return False

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
