"""The smoke row of ``doctor``: one pattern from insert to score, and away again.

Rehearsed, it is scored by doctor itself in a transaction that is rolled back: nothing stays. Live, it is committed,
scored by a worker that runs, and deleted: what stays is what any deleted pattern leaves, its prediction and its counts.
"""

from __future__ import annotations

import time
from typing import Any

from db_functions.database import Connection
from db_functions.errors import ScoringError, one_line
from db_functions.queries import query
from worker.serving.engine import Engine

WAIT_S = 10.0
"""How long a live worker may take: some polls."""
_LOOK_S = 0.02


class SmokeFailed(ScoringError):
    """The smoke row did not come through; ``remedy`` says what to do."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


def rehearse(connection: Connection) -> str:
    """Insert, score and take back within one transaction; says how it went. Raises SmokeFailed."""
    with connection.transaction(force_rollback=True):
        pattern_id, queue_id = _insert(connection)
        engine = Engine(connection)
        engine.refresh_model()
        engine.score_queue(1, queue_id - 1)
        _, scored, reason, latency_ms, error = _row(connection, pattern_id)
        _require(scored, reason, error)
    return f"was scored here ({reason}, {latency_ms:.0f} ms) and taken back"


def send(connection: Connection, *, wait_s: float | None = None) -> str:
    """Commit a row, wait for a worker's score, and delete it. Raises SmokeFailed."""
    with connection.transaction():
        pattern_id, _ = _insert(connection)
    try:
        end = time.monotonic() + (WAIT_S if wait_s is None else wait_s)
        queue_id, scored, reason, latency_ms, error = _row(connection, pattern_id)
        while queue_id is not None and time.monotonic() < end:
            time.sleep(_LOOK_S)
            queue_id, scored, reason, latency_ms, error = _row(connection, pattern_id)
        if queue_id is not None:
            raise SmokeFailed("no worker took the smoke row off the queue in time", "read the workers' log")
        _require(scored, reason, error)
        scorer = connection.execute(query("doctor_scorer"), {"id": pattern_id}).fetchone()
    finally:
        connection.execute(query("doctor_remove"), {"id": pattern_id})
    by = f"worker {scorer[0]} on {scorer[1]}" if scorer else "a worker"
    return f"was scored by {by} ({reason}, {latency_ms:.0f} ms) and deleted; its prediction and its counts stay"


def _insert(connection: Connection) -> tuple[Any, int]:
    inserted = connection.execute(query("doctor_insert")).fetchone()
    if inserted is None:
        raise SmokeFailed("there are no bars to score a row from", "load price_bars")
    queue_id = _row(connection, inserted[0])[0]
    if queue_id is None:
        raise SmokeFailed("an inserted row is not queued", "alter table pattern_events enable trigger ml_enqueue")
    return inserted[0], queue_id


def _row(connection: Connection, pattern_id: Any) -> tuple[Any, ...]:
    row = connection.execute(query("doctor_row"), {"id": pattern_id}).fetchone()
    assert row is not None
    return row


def _require(scored: bool, reason: str, error: str | None) -> None:
    if not scored:
        because = f", {one_line(error)}" if error else ""
        raise SmokeFailed(f"a smoke row was not scored: {reason}{because}", "see that reason in docs/applications.md")
