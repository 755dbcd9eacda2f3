"""The doorbell, from the worker's side: writers ring only when nobody has said that it is awake.

A transaction that notifies takes a lock through its commit, one for the whole server, so busy writers should not. A
busy worker mutes the bell for a moment at a time; the lease ends by itself when the worker dies. Before it sleeps it
rings the bell free again and must then *settle*: a writer that found the bell muted may commit only later, so the
worker goes on looking until every transaction that ran at that moment has ended.
"""

from __future__ import annotations

import time
from collections import deque

from db_functions.database import Connection
from db_functions.queries import query
from worker.serving import marks

MUTE_MS = 250
REMUTE_S = 0.15
BUSY_ROWS_PER_S = 200
PACE_S = 0.003
LINGER_S = 0.05
"""How long an awake worker goes on looking after the last row before it lets writers ring again."""
SETTLE_S = 0.02
_MEASURED = 20
"""Claims over which the rate is measured."""


class Doorbell:
    """Mutes while rows come thick and fast; knows whether the worker has to settle before it sleeps."""

    def __init__(self) -> None:
        self._claims: deque[tuple[float, int]] = deque(maxlen=_MEASURED)
        """When, and how many rows."""
        self._muted_at: float | None = None
        self._barrier: int | None = None

    @property
    def muted(self) -> bool:
        return self._muted_at is not None

    def claimed(self, connection: Connection, rows: int = 1) -> None:
        """Note a claim that found rows; mutes the bell when they come faster than is worth a ring each.

        Rows are counted, not claims: a slow machine makes few claims of many rows, and its writers ring as often.
        """
        now = time.monotonic()
        self._claims.append((now, rows))
        found = sum(number for _, number in self._claims)
        if len(self._claims) < _MEASURED or found < (now - self._claims[0][0]) * BUSY_ROWS_PER_S:
            return
        if self._muted_at is None or now - self._muted_at >= REMUTE_S:
            connection.execute(query("mute_doorbell"), {"milliseconds": MUTE_MS})
            self._muted_at = now

    def pace_s(self) -> float:
        """How long to hold back the next claim, so that batches grow; 0 unless the bell is muted."""
        if self._muted_at is None or not self._claims:
            return 0.0
        return max(0.0, PACE_S - (time.monotonic() - self._claims[-1][0]))

    def lingers(self) -> bool:
        """Whether more is to be expected soon; a release in every short gap would be no mute at all."""
        return self._muted_at is not None and bool(self._claims) and time.monotonic() - self._claims[-1][0] < LINGER_S

    def release(self, connection: Connection) -> None:
        """Let writers ring again, and note whom to wait for."""
        connection.execute(query("mute_doorbell"), {"milliseconds": -1})
        # Only now: a transaction that begins after the release finds the bell free.
        self._barrier = marks.barrier(connection)
        self._muted_at = None
        self._claims.clear()

    def settled(self, connection: Connection) -> bool:
        """Whether everybody who may have found the bell muted has committed; look once more after this is true."""
        if self._barrier is None or marks.passed(connection, self._barrier):
            self._barrier = None
            return True
        return False
