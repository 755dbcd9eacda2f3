"""Scores rows that were there before: walks ``pattern_events`` by key, and lets live rows go first.

Stopping it loses nothing: scored rows are not touched again (unless rescoring), so the next run goes on.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from psycopg.rows import class_row

from db_functions.database import Connection
from db_functions.errors import CONTENTION, first_line
from db_functions.gather import Pattern, pattern_rows
from db_functions.progress import Bar
from db_functions.queries import fetch_all
from db_functions.sessions import make_durable
from worker.log import event
from worker.operating.status import read_status
from worker.serving.engine import Engine
from worker.serving.listener import Signals
from worker.serving.startup import start_worker

logger = logging.getLogger(__name__)

PAGE = 512
_HEARTBEAT_S = 5.0
_RETRY_S = 0.2
START = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows: those without a score, or every row with ``rescore``; ``limit`` 0 means no limit."""

    limit: int = 0
    symbol: str | None = None
    since: datetime | None = None
    rescore: bool = False
    after: str = START

    def parameters(self) -> dict[str, Any]:
        return {"symbol": self.symbol, "since": self.since, "rescore": self.rescore}


@dataclass(frozen=True, slots=True)
class ReasonCount:
    """A row of ``backfill_preview``: how many rows give this reason now."""

    reason: str
    rows: int


@dataclass(frozen=True, slots=True)
class Preview:
    """What a backfill would do."""

    rows: int
    champion: str | None
    enabled: bool
    reasons: dict[str, int]
    """How many rows give each reason now."""


def preview(connection: Connection, selection: Selection) -> Preview:
    """Count, and write nothing."""
    with connection.transaction():
        parameters = {**selection.parameters(), "after": selection.after}
        counts = fetch_all(connection, "backfill_preview", class_row(ReasonCount), parameters)
        status = read_status(connection)
    rows = sum(count.rows for count in counts)
    if selection.limit:
        rows = min(rows, selection.limit)
    return Preview(rows, status.champion, status.enabled, {count.reason: count.rows for count in counts})


class Backfilled(NamedTuple):
    """What a backfill did, and the key to go on after."""

    rows: int
    after: str
    live: int
    """Rows that waited in the queue, and went first."""
    left: int
    """Rows of a rescore that keep the score they had: they would only fall back now."""


def backfill(connection: Connection, selection: Selection, signals: Signals, *, progress: bool = True) -> Backfilled:
    """Score the selected rows."""
    total = preview(connection, selection).rows
    engine = Engine(connection, start_worker(connection, "backfill"))
    engine.refresh_model()
    done, live, left, after, beat_at = 0, 0, 0, selection.after, time.monotonic()
    engine.heartbeat(stopping=False)
    with Bar(shown=progress, desc="backfill", total=total, lasting=True) as bar:
        while not signals.stopping and (not selection.limit or done < selection.limit):
            live += _let_live_rows_go_first(engine, signals)
            limit = min(PAGE, selection.limit - done) if selection.limit else PAGE
            page = _read_page(connection, {**selection.parameters(), "after": after, "limit": limit})
            before = _read_scored(connection, page) if selection.rescore else set()
            if not page or not _score_page(engine, page, signals, rescore=selection.rescore):
                break
            left += len(before & _read_scored(connection, page)) if before else 0
            done += len(page)
            after = page[-1].id
            bar.update(len(page))
            if time.monotonic() - beat_at >= _HEARTBEAT_S:
                beat_at = time.monotonic()
                engine.heartbeat(stopping=False)
    # No queue holds these rows: wait for the disk once, at the end.
    make_durable(connection)
    engine.heartbeat(stopping=True)
    return Backfilled(done, after, live, left)


def _let_live_rows_go_first(engine: Engine, signals: Signals) -> int:
    done = 0
    while not signals.stopping:
        try:
            batch = engine.score_queue()
        except CONTENTION as error:
            logger.warning(
                "live rows left to the other workers: %(error)s", event("queue_contended", error=first_line(error))
            )
            break
        if not batch.done:
            break
        done += batch.done
    return done


def _read_page(connection: Connection, parameters: dict[str, Any]) -> list[Pattern]:
    with connection.transaction():
        return fetch_all(connection, "backfill_page", pattern_rows, parameters)


class _Scored(NamedTuple):
    """A row of ``scored_at``."""

    id: str
    scored_at: datetime


def _read_scored(connection: Connection, page: Sequence[Pattern]) -> set[_Scored]:
    """When rows of a page were scored, those that are."""
    return set(fetch_all(connection, "scored_at", class_row(_Scored), {"ids": [pattern.id for pattern in page]}))


def _score_page(engine: Engine, page: Sequence[Pattern], signals: Signals, *, rescore: bool) -> bool:
    """Score one page; False when told to stop before it was done."""
    # Rows of one series side by side: its bars are then read once.
    patterns = sorted(page, key=lambda pattern: (pattern.symbol, pattern.timeframe, pattern.detected_at_us))
    while not signals.stopping:
        try:
            if engine.score_rows(patterns, rescore=rescore):
                return True
            logger.info("the champion keeps changing; trying the page again", event("page_retried"))
        except CONTENTION as error:
            # A live worker is writing some of these rows, in another order.
            logger.warning(
                "trying a page again after contention: %(error)s", event("page_contended", error=first_line(error))
            )
        signals.pause(_RETRY_S)
    return False
