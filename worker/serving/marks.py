"""Low-water marks of the queue: where a claim begins to look, so that the dead rows before it cost nothing.

Transactions commit out of order, so the highest id seen is no mark to trust: a lower one may still appear. A proven
mark is: nothing at or below it is queued, and nothing can appear there any more. The proof takes three statements:

1. the highest id handed out, L;
2. a transaction number of our own, N: every transaction that holds an id up to L has a lower one, for it inserted the
   pattern (which takes a number) before the trigger took an id from the sequence (CACHE 1);
3. a snapshot whose xmin is above N: all of them have ended, so what is at or below L is visible in it. The lowest id
   still queued in that snapshot bounds the mark.

A snapshot's xmax would not do for N: it is one above the last transaction that *ended*, and one that runs may be above.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from db_functions.database import Connection
from db_functions.queries import fetch_row, fetch_value

RESCAN_S = 0.25


@dataclass(frozen=True, slots=True)
class Proof:
    """The first two statements of a proof: the highest id handed out, L, and a transaction number of our own, N."""

    issued: int
    xid: int


@dataclass(frozen=True, slots=True)
class _Horizon:
    """The row of ``queue_horizon``."""

    xmin: int
    """Every transaction below it has ended."""
    lowest_id: int | None
    """Of the rows queued above the mark."""


class Marks:
    """``hot`` is where claims begin while draining; ``proven`` is where a full look begins."""

    def __init__(self) -> None:
        self.hot = 0
        self.proven = 0
        self._proving: Proof | None = None
        """The proof that waits for its third statement."""
        self._looked_at = -float("inf")

    def claimed(self, highest: int) -> None:
        """Go on after the newest row claimed; the next full look finds what lies before it."""
        self.hot = max(self.hot, highest)

    def due(self) -> bool:
        return time.monotonic() - self._looked_at >= RESCAN_S

    def look_again(self, connection: Connection) -> None:
        """Advance the proven mark as far as it can be proven, and claim from there next."""
        self._looked_at = time.monotonic()
        if self._proving is None:
            issued: int = fetch_value(connection, "queue_issued")
            if issued > self.proven:
                self._proving = Proof(issued, barrier(connection))
        if self._proving is not None:
            issued = self._proving.issued
            horizon = _read_horizon(connection, self.proven)
            if horizon.xmin > self._proving.xid:
                lowest = horizon.lowest_id
                self.proven = issued if lowest is None else max(self.proven, min(issued, lowest - 1))
                self._proving = None
        self.hot = self.proven


def barrier(connection: Connection) -> int:
    """A number above that of every transaction that has one now."""
    number: int = fetch_value(connection, "own_xid")
    return number


def has_passed(connection: Connection, number: int) -> bool:
    """Whether every transaction below ``number`` has ended."""
    return _read_horizon(connection, 0).xmin > number


def _read_horizon(connection: Connection, after: int) -> _Horizon:
    return fetch_row(connection, "queue_horizon", _Horizon, {"after": after})
