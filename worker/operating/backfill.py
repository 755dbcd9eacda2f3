"""Scores for rows that were there before: walks ``pattern_events`` by key and lets live rows go first.

Nothing is lost when it is stopped: scored rows are not touched again (unless rescoring), so the next run goes on.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import psycopg

from db_functions.database import Connection
from db_functions.model import first_line
from db_functions.progress import Progress
from db_functions.queries import query
from worker import __version__
from worker.log import event
from worker.serving.engine import Engine
from worker.serving.listener import Signals

logger = logging.getLogger(__name__)

PAGE = 512
_HEARTBEAT_S = 5.0
_RETRY_S = 0.2
_CONTENTION = (psycopg.errors.DeadlockDetected, psycopg.errors.LockNotAvailable, psycopg.errors.SerializationFailure)
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


class Backfilled(NamedTuple):
    """What a backfill did, and the key to go on after."""

    rows: int
    after: str
    live: int
    """Rows that waited in the queue, and went first."""


def backfill(connection: Connection, selection: Selection, signals: Signals, *, progress: bool = True) -> Backfilled:
    """Score the selected rows."""
    total = preview(connection, selection).rows
    row = connection.execute(
        query("start_worker"),
        {"host": socket.gethostname(), "pid": os.getpid(), "version": __version__, "kind": "backfill"},
    ).fetchone()
    assert row is not None
    engine = Engine(connection, row[0])
    engine.refresh_model()
    done, live, after, beat_at = 0, 0, selection.after, time.monotonic()
    engine.heartbeat(stopping=False)
    with Progress("backfill", total, enabled=progress) as bar:
        while not signals.stopping and (not selection.limit or done < selection.limit):
            live += _let_live_rows_go_first(engine, signals)
            limit = min(PAGE, selection.limit - done) if selection.limit else PAGE
            with connection.transaction():
                page = connection.execute(
                    query("backfill_page"), {**selection.parameters(), "after": after, "limit": limit}
                ).fetchall()
            if not page:
                break
            # Rows of one series side by side: its bars are then fetched once.
            page_by_series = sorted(page, key=lambda r: (r[3], r[4], r[6]))
            if not _score_page(engine, page_by_series, signals, rescore=selection.rescore):
                break
            done += len(page)
            after = page[-1][2]
            bar.update(done)
            if time.monotonic() - beat_at >= _HEARTBEAT_S:
                beat_at = time.monotonic()
                engine.heartbeat(stopping=False)
    # No queue holds these rows: this last commit waits for the disk, and with it all before it.
    connection.execute("set synchronous_commit = on")
    engine.heartbeat(stopping=True)
    return Backfilled(done, after, live)


def _let_live_rows_go_first(engine: Engine, signals: Signals) -> int:
    done = 0
    while not signals.stopping:
        try:
            batch = engine.score_queue()
        except _CONTENTION as error:
            logger.warning("live rows left to the others: %(error)s", event("queue_contended", error=first_line(error)))
            break
        if batch == 0:
            break
        done += batch
    return done


def _score_page(engine: Engine, page: Sequence[Sequence[Any]], signals: Signals, *, rescore: bool) -> bool:
    """Score one page; False when told to stop before it was done."""
    while not signals.stopping:
        try:
            if engine.score_rows(page, rescore=rescore):
                return True
            logger.info("the champion keeps changing; trying the page again", event("page_retried"))
        except _CONTENTION as error:
            # A live worker has some of these rows in hand, in an order of its own.
            logger.warning(
                "page scored again after contention: %(error)s", event("page_contended", error=first_line(error))
            )
        signals.pause(_RETRY_S)
    return False
