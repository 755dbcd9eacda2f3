"""The doorbell, from the worker's side: writers ring only while no worker says that it is awake.

A transaction that notifies holds one lock for the whole server through its commit, so busy writers should not ring. A
busy worker mutes the bell for a moment at a time; the mute ends by itself when the worker dies. Before it sleeps the
worker releases the bell, and must then *settle*: a writer that found the bell muted may commit later, so the worker
goes on looking until every transaction that ran at that moment has ended. For one that stays open for long it looks
less often, and hears the bell meanwhile.
"""

from __future__ import annotations

import time
from collections import deque
from typing import NamedTuple

from db_functions.database import Connection
from db_functions.queries import query
from worker.serving import marks

MUTE_MS = 250
REMUTE_S = 0.15
BUSY_ROWS_PER_S = 200
PACE_S = 0.003
LINGER_S = 0.05
"""How long an awake worker looks for more after the last row, before it lets writers ring again."""
SETTLE_S = 0.02
EXPECTED_S = 0.25
_EXPECTED_AFTER = 5
WITHIN_S = 1.0
"""Rows are expected for ``EXPECTED_S`` after the last of so many claims within so many seconds."""
_MEASURED = 20
"""Claims over which the rate is measured."""


class _Claim(NamedTuple):
    """A claim that found rows."""

    at: float
    rows: int


class Doorbell:
    """Mutes while rows arrive quickly; knows whether the worker has to settle before it sleeps."""

    def __init__(self) -> None:
        self._claims: deque[_Claim] = deque(maxlen=_MEASURED)
        self._muted_at: float | None = None
        self._barrier: int | None = None
        self._released_at = -float("inf")

    @property
    def muted(self) -> bool:
        return self._muted_at is not None

    def claimed(self, connection: Connection, rows: int = 1) -> None:
        """Note a claim that found rows; mutes the bell when they arrive too fast for a ring each.

        It counts rows, not claims: a slow machine makes few claims of many rows, and its writers ring as often.
        """
        now = time.monotonic()
        self._claims.append(_Claim(now, rows))
        found = sum(claim.rows for claim in self._claims)
        if len(self._claims) < _MEASURED or found < (now - self._claims[0].at) * BUSY_ROWS_PER_S:
            return
        if self._muted_at is None or now - self._muted_at >= REMUTE_S:
            connection.execute(query("mute_doorbell"), {"milliseconds": MUTE_MS})
            self._muted_at = now

    def pace_s(self) -> float:
        """How long to hold back the next claim, so that batches grow; 0 unless the bell is muted."""
        if self._muted_at is None or not self._claims:
            return 0.0
        return max(0.0, PACE_S - (time.monotonic() - self._claims[-1].at))

    def lingers(self) -> bool:
        """Whether more rows may arrive soon: a release in every short gap would make the mute useless."""
        return self._muted_at is not None and bool(self._claims) and time.monotonic() - self._claims[-1].at < LINGER_S

    def expects_rows(self) -> bool:
        """Whether rows have been coming, one after the other, and the next may come any moment."""
        if len(self._claims) < _EXPECTED_AFTER:
            return False
        last = self._claims[-1].at
        return time.monotonic() - last < EXPECTED_S and last - self._claims[-_EXPECTED_AFTER].at < WITHIN_S

    def release(self, connection: Connection) -> None:
        """Let writers ring again, and note which transactions to wait for."""
        connection.execute(query("mute_doorbell"), {"milliseconds": -1})
        # Only now: a transaction that begins after the release finds the bell free.
        self._barrier = marks.barrier(connection)
        self._released_at = time.monotonic()
        self._muted_at = None
        self._claims.clear()

    @property
    def waits(self) -> bool:
        """Whether a writer that may have found the bell muted was still at work at the last look."""
        return self._barrier is not None

    def patient(self) -> bool:
        """Whether those writers are still expected to end soon."""
        return time.monotonic() - self._released_at < marks.PATIENCE_S

    def settled(self, connection: Connection) -> bool:
        """Whether every writer that may have found the bell muted has ended; look once more after this is true."""
        if self._barrier is not None and marks.has_passed(connection, self._barrier):
            self._barrier = None
        return not self.waits
