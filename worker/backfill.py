"""Scores for rows that were there before: walks ``pattern_events`` by key and lets live rows go first.

Nothing is lost when it is stopped: scored rows are not touched again (unless rescoring), so the next run goes on.
"""

from __future__ import annotations

import logging
import os
import socket
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from db_functions.database import Connection
from db_functions.queries import query
from worker import __version__
from worker.engine import Engine
from worker.listener import Signals
from worker.progress import Progress

logger = logging.getLogger(__name__)

PAGE = 512
START = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows: those without a score, or all with ``rescore``; ``limit`` 0 means no limit."""

    limit: int = 0
    symbol: str | None = None
    since: datetime | None = None
    rescore: bool = False
    after: str = START

    def parameters(self) -> dict[str, Any]:
        return {"symbol": self.symbol, "since": self.since, "rescore": self.rescore}


@dataclass(frozen=True, slots=True)
class Preview:
    """What a backfill would do."""

    rows: int
    champion: str | None
    enabled: bool
    reasons: dict[str, int]
    """Rows by the reason their metadata gives now."""


def preview(connection: Connection, selection: Selection) -> Preview:
    """Count, and write nothing."""
    with connection.transaction():
        counts = connection.execute(
            query("backfill_preview"), {**selection.parameters(), "after": selection.after}
        ).fetchall()
        status = connection.execute(query("status")).fetchone()
    assert status is not None
    reasons: dict[str, int] = dict(counts)
    rows = sum(reasons.values())
    if selection.limit:
        rows = min(rows, selection.limit)
    return Preview(rows, status[3], status[0], reasons)


def backfill(
    connection: Connection, selection: Selection, signals: Signals, *, progress: bool = True
) -> tuple[int, str]:
    """Score the selected rows; returns how many were looked at and the key to go on after."""
    total = preview(connection, selection).rows
    row = connection.execute(
        query("start_worker"),
        {"host": socket.gethostname(), "pid": os.getpid(), "version": __version__, "kind": "backfill"},
    ).fetchone()
    assert row is not None
    engine = Engine(connection, row[0])
    engine.refresh_model()
    done, after = 0, selection.after
    with Progress("backfill", total, enabled=progress) as bar:
        while not signals.stopping and (not selection.limit or done < selection.limit):
            while not signals.stopping and engine.score_queue() > 0:
                pass  # live rows first
            limit = min(PAGE, selection.limit - done) if selection.limit else PAGE
            with connection.transaction():
                page = connection.execute(
                    query("backfill_page"), {**selection.parameters(), "after": after, "limit": limit}
                ).fetchall()
            if not page:
                break
            # Rows of one series side by side: its bars are then fetched once.
            engine.score_rows(sorted(page, key=lambda r: (r[3], r[4], r[6])), rescore=selection.rescore)
            done += len(page)
            after = page[-1][2]
            bar.update(done)
    _goodbye(engine)
    return done, after


def _goodbye(engine: Engine) -> None:
    counters, bars = engine.counters, engine.gatherer.bars
    engine.connection.execute(
        query("heartbeat"),
        {
            "worker": engine.worker_id,
            "model_version": engine.model.version if engine.model else None,
            "model_error": engine.model_error,
            "batches": counters.batches,
            "scored": counters.scored,
            "fallbacks": counters.fallbacks,
            "failed": counters.failed,
            "cache_hits": bars.hits,
            "cache_misses": bars.misses,
            "stopping": True,
        },
    )
