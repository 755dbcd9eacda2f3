"""The smoke row of ``doctor``: one pattern from insert to score, then removed.

Rehearsed, doctor scores it itself in a transaction that is rolled back: nothing stays. Live, it is committed, scored by
a running worker, and deleted: its prediction and its counts stay, as for any deleted pattern.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from uuid import UUID

from db_functions.database import Connection
from db_functions.errors import ScoringError, one_line
from db_functions.queries import fetch_one, fetch_row, fetch_value, query
from worker.serving.engine import Engine

WAIT_S = 10.0
"""How long a live worker may take: several poll intervals."""
_LOOK_S = 0.02


class SmokeFailed(ScoringError):
    """The smoke row was not scored; ``remedy`` says what to do."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class _SmokeRow:
    """The row of ``doctor_row``: what has become of the pattern."""

    queue_id: int | None
    scored: bool
    reason: str
    prediction_latency_ms: float
    error: str | None


@dataclass(frozen=True, slots=True)
class _Scorer:
    """The row of ``doctor_scorer``."""

    id: int
    host: str


def rehearse(connection: Connection) -> str:
    """Insert, score and take back within one transaction; returns how it went. Raises SmokeFailed."""
    with connection.transaction(force_rollback=True):
        pattern_id, queue_id = _insert(connection)
        engine = Engine(connection)
        engine.refresh_model()
        engine.score_queue(1, queue_id - 1)
        row = _require_scored(_read(connection, pattern_id))
    return f"was scored here ({row.reason}, {row.prediction_latency_ms:.0f} ms) and taken back"


def send(connection: Connection, *, wait_s: float | None = None) -> str:
    """Commit a row, wait for a worker's score, and delete it. Raises SmokeFailed."""
    with connection.transaction():
        pattern_id, _ = _insert(connection)
    try:
        end = time.monotonic() + (WAIT_S if wait_s is None else wait_s)
        row = _read(connection, pattern_id)
        while row.queue_id is not None and time.monotonic() < end:
            time.sleep(_LOOK_S)
            row = _read(connection, pattern_id)
        if row.queue_id is not None:
            raise SmokeFailed("no worker took the smoke row off the queue in time", "read the workers' log")
        _require_scored(row)
        scorer = fetch_one(connection, "doctor_scorer", _Scorer, {"id": pattern_id})
    finally:
        connection.execute(query("doctor_remove"), {"id": pattern_id})
    by = f"worker {scorer.id} on {scorer.host}" if scorer else "a worker"
    took = f"{row.reason}, {row.prediction_latency_ms:.0f} ms"
    return f"was scored by {by} ({took}) and deleted; its prediction and its counts stay"


def _insert(connection: Connection) -> tuple[UUID, int]:
    pattern_id = fetch_value(connection, "doctor_insert")
    if pattern_id is None:
        raise SmokeFailed("there are no bars to score a row from", "load price_bars")
    queue_id = _read(connection, pattern_id).queue_id
    if queue_id is None:
        raise SmokeFailed("an inserted row is not queued", "alter table pattern_events enable trigger ml_enqueue")
    return pattern_id, queue_id


def _read(connection: Connection, pattern_id: UUID) -> _SmokeRow:
    return fetch_row(connection, "doctor_row", _SmokeRow, {"id": pattern_id})


def _require_scored(row: _SmokeRow) -> _SmokeRow:
    if not row.scored:
        because = f", {one_line(row.error)}" if row.error else ""
        raise SmokeFailed(
            f"a smoke row was not scored: {row.reason}{because}", "see the reason in docs/applications.md"
        )
    return row
