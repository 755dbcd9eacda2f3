"""Bars from a replica, so that the primary has only to write."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from db_functions.bars import Floats
from db_functions.database import Connection, connect, libpq_url
from db_functions.errors import ReplicaRefused
from db_functions.gather import Gathered, Gatherer, Pattern
from db_functions.queries import fetch_row, fetch_value

VARIABLE: Final = "READ_DATABASE_URL"
"""Where each process finds the replica; ``--read-from`` sets it for processes of this machine."""
PATIENCE_S = 10.0
"""How long a replica may take to replay what the primary had written when a process began."""


@dataclass(frozen=True, slots=True)
class _Primary:
    position: str
    system: str
    database: str


@dataclass(frozen=True, slots=True)
class _Position:
    is_replica: bool
    behind: int
    system: str
    database: str


@dataclass(frozen=True, slots=True)
class _Snapshot:
    snapshot: str
    turn: int


def open_replica(primary: Connection) -> Connection:
    """Connect to a physical replica of ``primary`` that has caught up. Raises ReplicaRefused."""
    url = os.environ.get(VARIABLE, "").strip()
    if not url:
        raise ReplicaRefused(f"{VARIABLE} is not set here: it names the replica to read from")
    origin = fetch_row(primary, "primary_position", _Primary)
    replica = connect(libpq_url(url), application_name="pattern-scoring replica", autocommit=True)
    replica.read_only = True
    end = time.monotonic() + PATIENCE_S
    while True:
        found = fetch_row(replica, "replica_position", _Position, {"position": origin.position})
        if not found.is_replica or (found.system, found.database) != (origin.system, origin.database):
            replica.close()
            raise ReplicaRefused(f"the database that {VARIABLE} names is no physical replica of the primary's")
        if found.behind <= 0:
            return replica
        if time.monotonic() > end:
            replica.close()
            raise ReplicaRefused(f"the replica lags: after {PATIENCE_S:g} s it is {found.behind:,} bytes behind")
        time.sleep(0.1)


class ReplicaGatherer:
    """Gathers from a replica, and again from the primary where the replica did not show the newest bars."""

    def __init__(self, primary: Connection, replica: Connection) -> None:
        self.reread = 0
        """Pages that were gathered from the primary."""
        self._primary, self.connection = primary, replica
        self._gatherer = Gatherer()

    def gather(
        self,
        patterns: Sequence[Pattern],
        *,
        benchmark: str | None,
        history_lag_us: int,
        history: Floats | None = None,
    ) -> Gathered:
        """As :meth:`Gatherer.gather`, in a transaction of the primary that then writes."""
        options: dict[str, Any] = {"benchmark": benchmark, "history_lag_us": history_lag_us, "history": history}
        with self.connection.transaction():
            # Taken before anything is read: what it does not show is unknown, what came later does no harm.
            seen = fetch_row(self.connection, "replica_snapshot", _Snapshot)
            gathered = self._gatherer.gather(self.connection, patterns, **options)
        if not self._changed(patterns, benchmark, seen):
            return gathered
        self.reread += 1
        return Gatherer().gather(self._primary, patterns, **options)

    def close(self) -> None:
        self.connection.close()

    def _changed(self, patterns: Sequence[Pattern], benchmark: str | None, seen: _Snapshot) -> bool:
        keys = {(pattern.symbol, pattern.timeframe) for pattern in patterns}
        keys |= {(benchmark, timeframe) for _, timeframe in keys if benchmark}
        parameters = {
            "seen": seen.snapshot,
            "turn": seen.turn,
            "symbols": [symbol for symbol, _ in keys],
            "timeframes": [timeframe for _, timeframe in keys],
            "until": max(pattern.detected_at_us for pattern in patterns),
        }
        return bool(fetch_value(self._primary, "bar_changes_since", parameters))
