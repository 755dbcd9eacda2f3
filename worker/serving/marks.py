"""Low-water marks of the queue: where a claim begins to look, so that the dead rows before it cost nothing.

Transactions commit out of order, so the highest id seen is no mark to trust: a lower one may still appear. A proven
mark is: nothing at or below it is queued, and nothing can appear there any more. The proof takes three looks:

1. the highest id handed out, L;
2. a transaction number of our own, N: every transaction that holds an id up to L has a lower one, for it inserted the
   pattern (which takes a number) before the trigger took an id from the sequence (CACHE 1);
3. a snapshot in which none below N runs: all of them have ended, so what is at or below L is visible in it. The lowest
   id still queued in that snapshot bounds the mark.

The first two are taken in one statement, in this order; the third is the snapshot of a later one. So each look is one
trip, ends the proof that the look before it began, and may begin another.

A snapshot's xmax would not do for N: it is one above the last transaction that *ended*, and one that runs may be above.

A transaction that stays open for long, anywhere in the cluster, must not hold the mark back, or each look would walk
over all rows that were scored since. After ``PATIENCE_S`` the proof goes on without it, and the mark it would have
stood at is kept: when the transaction has ended, the next look begins there.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from db_functions.database import Connection
from db_functions.queries import fetch_row, fetch_value

RESCAN_S = 0.25
PATIENCE_S = 1.0
"""How long to wait for transactions to end; one that takes longer is looked after on its own."""
LOOK_S = 0.25
"""How often to look whether it has ended."""


@dataclass(frozen=True, slots=True)
class Proof:
    """The first half of a proof: the highest id handed out, L, and a transaction number of our own, N."""

    issued: int
    xid: int
    begun_at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True)
class _Horizon:
    """The row of ``queue_horizon``."""

    issued: int
    xid: int | None
    running: list[int]
    lowest_id: int | None
    """Of the rows queued above the mark."""


class Marks:
    """``hot`` is where claims begin while draining; ``proven`` is where a full look begins."""

    def __init__(self) -> None:
        self.hot = 0
        self.proven = 0
        self._proving: Proof | None = None
        """The proof that waits for its third look."""
        self._left_out: dict[int, int] = {}
        """Transactions without which the mark was proven, and where it would stand with them."""
        self._looked_at = -float("inf")

    @property
    def complete(self) -> bool:
        """Whether no row can appear below the proven mark."""
        return not self._left_out

    def claimed(self, highest: int) -> None:
        """Go on after the newest row claimed; the next full look finds what lies before it."""
        self.hot = max(self.hot, highest)

    def due(self) -> bool:
        return time.monotonic() - self._looked_at >= RESCAN_S

    def look_again(self, connection: Connection) -> bool:
        """Advance the proven mark as far as it can be proven, and claim from there next.

        Returns whether nothing is queued above it, so that no claim needs to look.
        """
        begins = self.due()
        below = max([self._proving.xid if self._proving else 0, *(number + 1 for number in self._left_out)])
        horizon = _read_horizon(connection, self.proven, below, prove=begins)
        went_back = self._go_back(horizon)
        if not went_back:
            if self._proving is not None:
                self._go_on(horizon, self._proving)
            if begins:
                self._begin(horizon)
        self.hot = self.proven
        return horizon.lowest_id is None and not went_back

    def _begin(self, horizon: _Horizon) -> None:
        self._looked_at = time.monotonic()
        if self._proving is None and horizon.xid is not None and horizon.issued > self.proven:
            self._proving = Proof(horizon.issued, horizon.xid)

    def _go_back(self, horizon: _Horizon) -> bool:
        """When a transaction that was left out has ended: to where the mark would have waited for it."""
        ended = self._left_out.keys() - horizon.running
        if not ended:
            return False
        self.proven = min(self.proven, *(self._left_out.pop(number) for number in ended))
        self._proving, self._looked_at = None, -float("inf")
        return True

    def _go_on(self, horizon: _Horizon, proof: Proof) -> None:
        waits_for = [number for number in horizon.running if number < proof.xid and number not in self._left_out]
        if waits_for and time.monotonic() - proof.begun_at < PATIENCE_S:
            return
        for number in waits_for:
            self._left_out[number] = self.proven
        lowest = horizon.lowest_id
        self.proven = proof.issued if lowest is None else max(self.proven, min(proof.issued, lowest - 1))
        self._proving = None


def barrier(connection: Connection) -> int:
    """A number above that of every transaction that has one now."""
    number: int = fetch_value(connection, "own_xid")
    return number


def has_passed(connection: Connection, number: int) -> bool:
    """Whether every transaction below ``number`` has ended."""
    return not _read_horizon(connection, 0, number).running


def _read_horizon(connection: Connection, after: int, below: int, *, prove: bool = False) -> _Horizon:
    return fetch_row(connection, "queue_horizon", _Horizon, {"after": after, "below": below, "prove": prove})
