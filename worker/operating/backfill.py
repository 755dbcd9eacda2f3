"""Scores rows that were there before, series by series, and lets live rows go first.

Stopping it loses nothing: what is done stands in the ledger, and the same command goes on.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from psycopg.rows import class_row

from db_functions.bulk.bits import Pins, pins_of
from db_functions.bulk.driver import How
from db_functions.bulk.ledger import run_job
from db_functions.bulk.pace import Pace
from db_functions.bulk.replica import ReplicaGatherer, open_replica
from db_functions.bulk.sessions import Session, Stopping
from db_functions.bulk.tasks import Outcome, Task, work_off
from db_functions.database import Connection, connect
from db_functions.errors import CONTENTION, ChampionChanged, first_line
from db_functions.gather import Gathered, pattern_rows
from db_functions.model import Model
from db_functions.queries import fetch_all
from worker.log import event
from worker.operating.status import read_status
from worker.serving.batch import BatchSettings, ClaimedRows
from worker.serving.engine import Engine
from worker.serving.startup import start_worker

logger = logging.getLogger(__name__)

_HEARTBEAT_S = 5.0


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows: those without a score, or every row with ``rescore``; ``limit`` 0 means no limit."""

    limit: int = 0
    symbol: str | None = None
    since: datetime | None = None
    rescore: bool = False

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
        counts = fetch_all(connection, "backfill_preview", class_row(ReasonCount), selection.parameters())
        status = read_status(connection)
    rows = sum(count.rows for count in counts)
    if selection.limit:
        rows = min(rows, selection.limit)
    return Preview(rows, status.champion, status.enabled, {count.reason: count.rows for count in counts})


class Backfilled(NamedTuple):
    """What a backfill did, an earlier run of the same job included."""

    rows: int
    live: int
    """Rows that waited in the queue, and went first."""
    left: int
    """Rows of a rescore that keep the score they had: they would only fall back now."""
    resumed: int
    """Of the rows, those that an earlier run had taken."""
    failed: Mapping[int, str]
    """Slices that were given up, with the reason."""


def backfill(selection: Selection, how: How) -> Backfilled:
    """Score the selected rows of the database that DATABASE_URL names."""
    parameters = {**selection.parameters(), "limit": selection.limit}
    if selection.rescore:
        # A rescore by another champion is another job.
        with connect(application_name="pattern-scoring backfill", autocommit=True) as connection:
            parameters["champion"] = read_status(connection).champion
    done = run_job("backfill", parameters, run_slice, _Scorer, how)
    rows, live = (int(done.found.get(name, 0)) for name in ("rows", "live"))
    return Backfilled(rows, done.live + live, done.kept, done.resumed, done.failed)


def run_slice(task: Task, stopping: Stopping = lambda: False) -> Outcome:
    """The task of a slice, in whatever process the engine runs it."""
    return work_off(task, _Scorer, stopping)


class _Engine(Engine):
    """The worker's engine, which may read bars from a replica."""

    replica: ReplicaGatherer | None = None

    def _gather(self, rows: ClaimedRows, settings: BatchSettings) -> Gathered | None:
        # Live rows are read from the primary: the newest bar and the pattern on it come together.
        if self.replica is None or rows.queue_ids or self.model is None or not rows.patterns:
            return super()._gather(rows, settings)
        return self.replica.gather(rows.patterns, benchmark=settings.benchmark, history_lag_us=settings.history_lag_us)


class _Scorer(Session):
    """A scoring engine over a connection of its own."""

    def __init__(self, selection: Mapping[str, Any], replica: bool) -> None:
        self.connection = connect(application_name="pattern-scoring backfill", autocommit=True)
        try:
            self._rescore = bool(selection["rescore"])
            self._engine = _Engine(self.connection, start_worker(self.connection, "backfill"))
            if replica:
                self._engine.replica = ReplicaGatherer(self.connection, open_replica(self.connection))
            self._engine.refresh_model()
            self._engine.heartbeat(stopping=False)
        except BaseException:
            self.connection.close()
            raise
        self._pace = Pace(self.connection)
        self._pins: tuple[list[Model], Pins] | None = None
        self._beat_at = time.monotonic()

    def refresh(self) -> None:
        self._engine.refresh_model()

    def pins(self) -> Pins:
        models = [*([self._engine.model] if self._engine.model else []), *self._engine.challengers.models]
        if self._pins is None or self._pins[0] != models:
            self._pins = models, pins_of(models)
        return self._pins[1]

    def before(self, stopping: Stopping) -> int:
        live = _let_live_rows_go_first(self._engine, stopping)
        self._pace.keep(stopping)
        if time.monotonic() - self._beat_at >= _HEARTBEAT_S:
            self._beat_at = time.monotonic()
            self._engine.heartbeat(stopping=False)
        return live

    def work(self, ids: Sequence[str]) -> Mapping[str, float]:
        parameters = {"ids": ids, "rescore": self._rescore}
        patterns = fetch_all(self.connection, "backfill_page", pattern_rows, parameters)
        if patterns and not self._engine.score_rows(patterns, rescore=self._rescore):
            raise ChampionChanged("the champion keeps changing")
        return {"rows": len(patterns)}

    def close(self) -> None:
        if self._engine.replica is not None:
            self._engine.replica.close()
        with self.connection:
            self._engine.heartbeat(stopping=True)


def _let_live_rows_go_first(engine: Engine, stopping: Stopping) -> int:
    done = 0
    while not stopping():
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
