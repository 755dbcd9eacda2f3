"""The way of a batch: claim, gather, infer, write, all in one transaction, challengers included."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import psycopg

from db_functions.database import Connection
from db_functions.errors import ChampionChanged, translated
from db_functions.gather import Gathered, Gatherer
from db_functions.model import Model, first_line
from db_functions.queries import query
from worker.log import event
from worker.serving import arrays, scoring
from worker.serving.batch import Scored, State, Work
from worker.serving.challengers import Answer, Challengers
from worker.serving.champion import Champion
from worker.serving.writer import Writer

logger = logging.getLogger(__name__)

BATCH = 256
_TRIES = 4
"""How often a batch is tried: again when the champion changed under it, and once by halves when a row makes it fail."""
_ROW_STATES = ("22", "23", "P0")
"""SQLSTATE classes that a row's own values cause: data, integrity, and what a user's trigger raises."""


@dataclass(slots=True)
class Counters:
    """What a worker has done since its start."""

    batches: int = 0
    scored: int = 0
    fallbacks: int = 0
    failed: int = 0


def _of_a_row(error: Exception) -> bool:
    """Whether one row's values may be the cause, so that the others can be scored without it."""
    if isinstance(error, psycopg.Error):
        return (error.sqlstate or "")[:2] in _ROW_STATES
    return isinstance(error, ValueError | TypeError | ArithmeticError)


class Engine:
    """Scores batches over one connection, with whatever model is champion when it writes."""

    def __init__(self, connection: Connection, worker_id: int | None = None) -> None:
        self.connection = connection
        self.worker_id = worker_id
        self.counters = Counters()
        self.champion = Champion()
        self.challengers = Challengers()
        self.gatherer = Gatherer()
        self.last_claimed = 0
        self._writer = Writer(connection, worker_id, self.gatherer.bars)
        prepare(connection)

    @property
    def model(self) -> Model | None:
        """The model that is asked first; None when there is none that loads."""
        return self.champion.model

    @property
    def model_error(self) -> str | None:
        """What is wrong with the champion, in one line."""
        return self.champion.error

    def reconnected(self, connection: Connection) -> None:
        """Go on over a new connection; what was kept of the database may be stale."""
        self.connection = connection
        self.gatherer.forget()
        self._writer.reconnected(connection)
        prepare(connection)

    def score_queue(self, limit: int = BATCH, after: int = 0) -> int:
        """Score up to ``limit`` waiting rows with ids above ``after``; returns how many were taken off the queue.

        ``last_claimed`` is then the highest id of those that were claimed, 0 when there were none: rows whose patterns
        somebody else has locked stay in the queue.
        """

        def claim() -> tuple[State, Work]:
            state, rows = self._claim(after, limit)
            self.last_claimed = rows[-1][0] if rows else 0
            return state, Work.from_rows(rows)

        return self._score(claim, rescore=False)

    def score_rows(self, rows: Sequence[Sequence[Any]], *, rescore: bool) -> int:
        """Score rows of the named query ``backfill_page``; returns how many there were."""
        return self._score(lambda: (self._batch_state(), Work.from_rows(rows)), rescore=rescore)

    def dead_letter(self, queue_id: int, error: str, attempts: int) -> int:
        """Give one waiting row up without scoring it; returns 1, or 0 when somebody else has it or its pattern."""
        with self.connection.transaction():
            _, rows = self._claim(queue_id - 1, 1)
            work = Work.from_rows([row for row in rows if row[0] == queue_id])
            if not work.patterns:
                return 0
            scores = scoring.Scores.empty(1)
            scores.error[0] = error
            failed = self._fail(work, scores, attempts)
        self.counters.fallbacks += failed
        self.counters.failed += failed
        return failed

    def refresh_model(self) -> None:
        """Load the champion and the challengers if they have changed; commits."""
        with self.connection.transaction():
            state = self._batch_state()
        self.champion.follow(self.connection, state.champion)
        self.challengers.follow(self.connection, state.challenges)

    def _score(self, claim: Callable[[], tuple[State, Work]], *, rescore: bool) -> int:
        score = self._score_batch
        for _ in range(_TRIES):
            try:
                with translated(), self.connection.transaction():
                    state, work = claim()
                    if self.champion.follows(state.champion) and self.challengers.follows(state.challenges):
                        return score(work, state, rescore=rescore)
            except ChampionChanged:
                logger.info("champion changed under a batch; scoring it again", event("batch_repeated"))
            except Exception as error:
                if not _of_a_row(error) or score == self._score_by_halves:
                    raise
                logger.warning(
                    "a batch failed, looking for the row: %(error)s", event("batch_failed", error=first_line(error))
                )
                score = self._score_by_halves
                continue
            # Outside the transaction, so that no row stays locked while a model loads.
            self.refresh_model()
        return 0

    def _score_by_halves(self, work: Work, state: State, *, rescore: bool) -> int:
        """As :meth:`_score_batch`, but what fails is halved until the row is found that makes it fail."""
        try:
            with self.connection.transaction():
                return self._score_batch(work, state, rescore=rescore)
        except Exception as error:
            if not _of_a_row(error):
                raise
            if len(work.patterns) > 1:
                return sum(self._score_by_halves(half, state, rescore=rescore) for half in work.halves())
            scores = scoring.Scores.empty(1)
            scores.error[0] = first_line(error)
            failed = self._fail(work, scores)
            self.counters.batches += 1
            self.counters.fallbacks += failed
            self.counters.failed += failed
            return failed

    def _fail(self, work: Work, scores: scoring.Scores, attempts: int = 1) -> int:
        """Make a dead letter of the only row of ``work``; 0 when somebody else has it locked."""
        self._writer.left.clear()
        self._writer.failures(work, self.model, scores, [0], attempts)
        return 1 - len(self._writer.left)

    def _batch_state(self) -> State:
        row = self.connection.execute(query("batch_state")).fetchone()
        assert row is not None
        return State.from_row(row)

    def _claim(self, after: int, limit: int) -> tuple[State, list[Sequence[Any]]]:
        """What a batch obeys, and its rows, in one trip to the server."""
        rows = self.connection.execute(query("claim"), {"after": after, "limit": limit}).fetchall()
        width = State.COLUMNS
        return State.from_row(rows[0][:width]), [row[width:] for row in rows if row[width] is not None]

    def _score_batch(self, work: Work, state: State, *, rescore: bool) -> int:
        count = len(work.patterns) + len(work.orphans)
        if count == 0:
            return 0
        gathered: Gathered | None = None
        shadows: list[Answer] = []
        model, scores = self.model, scoring.without_model(len(work.patterns))
        if model and work.patterns:
            gathered = self.gatherer.gather(
                self.connection, work.patterns, benchmark=state.benchmark, history_lag_us=state.history_lag_us
            )
            model, scores = self.champion.ask(self.connection, gathered, state.min_quality)
            if model is not None and model.id == state.champion:
                ids = [pattern.id for pattern in work.patterns]
                shadows = self.challengers.ask(state.challenges, gathered, ids, state.min_quality)
        self._write(Scored.of(work, gathered, state.champion, rescore=rescore), model, scores, shadows)
        return count - len(self._writer.left)

    def _write(self, batch: Scored, model: Model | None, scores: scoring.Scores, shadows: Sequence[Answer]) -> None:
        """The champion's scores, but for rows that a canary serves; then what the challengers made of the same rows."""
        work, failed = batch.work, set(scores.failed)
        self._writer.left.clear()
        offered = {i for i in range(len(work.patterns)) if np.isfinite(scores.confidence[i]) and not scores.reason[i]}
        written: set[int] = set()
        served: set[int] = set()
        for shadow in shadows:
            rows = [i for i in shadow.canary if i in offered]
            if rows:
                written |= self._writer.rows("canary", batch, shadow.model, shadow.scores, rows)[1]
                served.update(rows)
        rest = [i for i in range(len(work.patterns)) if i not in failed and i not in served]
        role = "standby" if model and model.id != batch.champion else "champion"
        written_at, by_champion = self._writer.rows(role, batch, model, scores, rest, orphans=work.orphans)
        written |= by_champion
        for shadow in shadows:
            rows = [i for i in shadow.rows if i in offered and i in written]
            if rows:
                self._writer.shadow(batch, shadow, scores, rows, written_at)
        if failed:
            self._writer.failures(work, model, scores, sorted(failed))
        done = [i for i in range(len(work.patterns)) if not self._writer.leaves(work, i)]
        good = [i for i in done if i not in failed]
        failed &= set(done)
        scored = int(np.isfinite(scores.confidence[good]).sum())
        self.counters.batches += 1
        self.counters.scored += scored
        self.counters.fallbacks += sum(scores.reason[i] is not None for i in good) + len(failed)
        self.counters.failed += len(failed)
        logger.debug(
            "a batch of %(rows)d: %(scored)d scored by %(model)s in %(inference_ms).2f ms, %(failed)d failed",
            event(
                "batch_scored",
                rows=len(done),
                scored=scored,
                failed=len(failed),
                model=model.version if model else None,
                inference_ms=scores.inference_ms,
            ),
        )

    def heartbeat(self, *, stopping: bool) -> None:
        """Say that this process lives, what it serves and what it has done."""
        counters, bars = self.counters, self.gatherer.bars
        self.connection.execute(
            query("heartbeat"),
            {
                "worker": self.worker_id,
                "model_version": self.model.version if self.model else None,
                "model_error": self.model_error,
                "batches": counters.batches,
                "scored": counters.scored,
                "fallbacks": counters.fallbacks,
                "failed": counters.failed,
                "cache_hits": bars.hits,
                "cache_misses": bars.misses,
                "stopping": stopping,
            },
        )


def pooled(connection: Connection) -> bool:
    """Whether a pooler stands between: the backend that answers is not the one that was promised at connecting."""
    row = connection.execute(query("backend")).fetchone()
    assert row is not None
    return bool(row[0] != connection.info.backend_pid)


def prepare(connection: Connection) -> None:
    """Give a scoring connection its session settings and array types; it must be in autocommit mode."""
    arrays.register(connection)
    if pooled(connection):
        # A pooler lends its server connections to others between transactions: leave nothing behind on them.
        connection.prepare_threshold = None
        return
    # A plan cached while a table was small must not turn into a scan when it grows; jit costs more than any statement.
    # All of them are by key, so one plan serves every batch; left to itself the server plans each write anew, 0.6 ms.
    connection.execute(
        "set jit = off; set enable_seqscan = off; set enable_hashjoin = off; set enable_mergejoin = off; "
        "set plan_cache_mode = force_generic_plan"
    )
    # What a crash of the server takes back goes as a whole: the score, and the row is in the queue again.
    connection.execute("set synchronous_commit = off")
    connection.execute(
        "set lock_timeout = '5s'; set statement_timeout = '60s'; set idle_in_transaction_session_timeout = '60s'"
    )
