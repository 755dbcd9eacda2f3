"""Low-water marks of the queue: where a claim may begin to look, so that dead rows behind it cost nothing.

Transactions commit out of order, so the highest id seen is no mark to trust: a lower one may still appear. A proven
mark is: nothing at or below it is queued, and nothing can appear there any more. The proof takes three statements:

1. the highest id handed out, L;
2. a transaction number of our own, N: whoever holds an id up to L has a lower one, for a pattern is inserted (which
   takes a number) before the trigger takes an id from the sequence (CACHE 1);
3. a snapshot whose xmin is above N: all of them have ended, so what is at or below L is visible in it. The lowest id
   still queued in that snapshot bounds the mark.

A snapshot's xmax would not do for N: it is one above the last transaction that *ended*, and one that runs may be above.
"""

from __future__ import annotations

import time

from db_functions.database import Connection
from db_functions.queries import query

RESCAN_S = 0.25


class Marks:
    """``hot`` is where claims begin while draining; ``proven`` is where a full look begins."""

    def __init__(self) -> None:
        self.hot = 0
        self.proven = 0
        self._proving: tuple[int, int] | None = None
        """(L, N) of a proof that waits for its third statement."""
        self._looked_at = -float("inf")

    def claimed(self, highest: int) -> None:
        """Go on after the newest row claimed; whatever lies behind is found by the next full look."""
        self.hot = max(self.hot, highest)

    def due(self) -> bool:
        return time.monotonic() - self._looked_at >= RESCAN_S

    def look_again(self, connection: Connection) -> None:
        """Advance the proven mark as far as it can be proven, and claim from there next."""
        self._looked_at = time.monotonic()
        if self._proving is None:
            issued = _number(connection, "queue_issued")
            if issued > self.proven:
                self._proving = (issued, barrier(connection))
        if self._proving is not None:
            issued, number = self._proving
            ended_below, lowest = _horizon(connection, self.proven)
            if ended_below > number:
                self.proven = issued if lowest is None else max(self.proven, min(issued, lowest - 1))
                self._proving = None
        self.hot = self.proven


def barrier(connection: Connection) -> int:
    """A number above that of every transaction that has one now."""
    return _number(connection, "own_xid")


def passed(connection: Connection, number: int) -> bool:
    """Whether every transaction below ``number`` has ended."""
    return _horizon(connection, 0)[0] > number


def _number(connection: Connection, name: str) -> int:
    row = connection.execute(query(name)).fetchone()
    assert row is not None
    return int(row[0])


def _horizon(connection: Connection, after: int) -> tuple[int, int | None]:
    row = connection.execute(query("queue_horizon"), {"after": after}).fetchone()
    assert row is not None
    return row[0], row[1]
