"""A batch on its way: claim, gather, score, write, all in one transaction, challengers included."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import psycopg
from psycopg.rows import class_row

from db_functions import composites
from db_functions.database import Connection
from db_functions.errors import ChampionChanged, first_line, translated
from db_functions.gather import Gathered, Gatherer, Pattern
from db_functions.model import Model
from db_functions.queries import query, send
from db_functions.sessions import Plans, prepare_scoring
from db_functions.trips import Ends, joined_transaction, together
from worker.log import event
from worker.serving import scoring
from worker.serving.batch import BatchResult, BatchSettings, ClaimedRows, ScoredBatch, claimed_rows
from worker.serving.challengers import ChallengerAnswers, Challengers
from worker.serving.champion import Champion
from worker.serving.loading import Loader
from worker.serving.writer import Done, Writer

logger = logging.getLogger(__name__)

BATCH = 256
_TRIES = 4
"""How often a batch is tried: again when the champion changed under it, and once in parts when a row makes it fail."""
_ROW_STATES = ("22", "23", "P0")
"""SQLSTATE classes that a row's own values cause: data, integrity, and what a user's trigger raises."""
CANCELS = 3
"""How often the write of a row alone may be cancelled before the row is given up; a cancel from outside is rare."""

Claimed = Callable[[], tuple[BatchSettings, ClaimedRows]]
Claim = Callable[[], Claimed]
"""Sends what a batch begins with; what it returns reads the answer."""


@dataclass(slots=True)
class Counters:
    """What a worker has done since its start."""

    batches: int = 0
    scored: int = 0
    fallbacks: int = 0
    failed: int = 0


def is_row_error(error: Exception) -> bool:
    """Whether the values of one row may be the cause, so that the others can be scored without it."""
    if isinstance(error, psycopg.Error):
        return (error.sqlstate or "")[:2] in _ROW_STATES
    return isinstance(error, ValueError | TypeError | ArithmeticError)


def _is_isolated(error: Exception, rows: ClaimedRows) -> bool:
    """Whether to look for a row at fault here; live rows that cancel a statement are for :mod:`probation`."""
    return is_row_error(error) or (isinstance(error, psycopg.errors.QueryCanceled) and not rows.queue_ids)


class Engine:
    """Scores batches over one connection, with the model that is champion when it writes.

    ``beside``: a new model loads while the one before it serves; otherwise batches wait for it.
    """

    def __init__(self, connection: Connection, worker_id: int | None = None, *, beside: bool = False) -> None:
        self.connection = connection
        self.worker_id = worker_id
        self.counters = Counters()
        loader = Loader(beside=beside)
        self.champion = Champion(loader)
        self.challengers = Challengers(loader)
        self.gatherer = Gatherer()
        self._writer = Writer(connection, worker_id, self.gatherer.bars)
        self._plans = Plans(connection)
        prepare(connection)

    @property
    def model(self) -> Model | None:
        """The model that is asked first; None when no model loads."""
        return self.champion.model

    @property
    def model_error(self) -> str | None:
        """What is wrong with the champion, in one line."""
        return self.champion.error

    def reconnected(self, connection: Connection) -> None:
        """Go on over a new connection; forget what was read from the database, which may have changed."""
        self.connection = connection
        self.gatherer.forget()
        self._writer.reconnected(connection)
        self._plans = Plans(connection)
        prepare(connection)

    def refresh_model(self) -> None:
        """Load the champion and the challengers if they have changed; commits."""
        settings = self._ask_settings()()
        self.champion.follow(self.connection, settings.champion)
        self.challengers.follow(self.connection, settings.challenges)

    def score_queue(self, limit: int = BATCH, after: int = 0) -> BatchResult:
        """Score up to ``limit`` waiting rows with ids above ``after``."""
        return self._score(lambda: self._claim(after, limit), rescore=False)

    def score_rows(self, patterns: Sequence[Pattern], *, rescore: bool) -> int:
        """Score rows that are in no queue; returns how many are done: 0 when the champion kept changing."""
        rows = ClaimedRows.from_patterns(patterns)
        self._plans.worked_on(len(rows))

        def claim() -> Claimed:
            settings = self._ask_settings()
            return lambda: (settings(), rows)

        return self._score(claim, rescore=rescore).done

    def dead_letter(self, queue_id: int, error: str, attempts: int) -> int:
        """Give up one waiting row without scoring it; returns 1, or 0 when another session has it or its pattern."""
        try:
            failed = self._give_up_queued(queue_id, error, attempts, marked=True)
        except psycopg.errors.QueryCanceled:
            failed = self._give_up_queued(queue_id, error, attempts, marked=False)
        self._count_failure(failed)
        return failed

    def _give_up_queued(self, queue_id: int, error: str, attempts: int, *, marked: bool) -> int:
        with self.connection.transaction():
            settings, rows = self._claim(queue_id - 1, 1)()
            if not rows.patterns or rows.queue_ids != [queue_id]:
                return 0
            return self._writer.give_up(rows, settings.champion, self.model, error, attempts, marked=marked)

    def heartbeat(self, *, stopping: bool) -> None:
        """Record that this process lives, what it serves and what it has done."""
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

    # Tries

    def _score(self, claim: Claim, *, rescore: bool) -> BatchResult:
        """Claim and score a batch, until nothing comes between: a new champion, or a row that makes it fail."""
        rows, in_parts = ClaimedRows.none(), False
        for _ in range(_TRIES):
            try:
                with translated(), joined_transaction(self.connection) as ends:
                    settings, rows = self._begin(ends, claim)
                    if self.champion.follows(settings.champion) and self.challengers.follows(settings.challenges):
                        done = (
                            self._score_in_parts(rows, settings, rescore=rescore)
                            if in_parts
                            else self._score_batch(rows, settings, rescore=rescore, ends=ends)
                        )
                        return BatchResult(rows.claimed_up_to, len(rows), done)
            except ChampionChanged:
                logger.info("the champion changed during a batch; scoring it again", event("batch_repeated"))
            except Exception as error:
                if in_parts or not _is_isolated(error, rows):
                    raise
                logger.warning(
                    "a batch failed; looking for the row: %(error)s", event("batch_failed", error=first_line(error))
                )
                in_parts = True
                continue
            # Outside the transaction, so that no row stays locked while a model loads.
            self.refresh_model()
        return BatchResult(rows.claimed_up_to, len(rows))

    def _score_in_parts(self, rows: ClaimedRows, settings: BatchSettings, *, rescore: bool) -> int:
        """As :meth:`_score_batch`, but a part that fails is halved until the row at fault is alone, and given up."""
        parts, done, cancels = [rows], 0, 0
        while parts:
            part = parts.pop()
            try:
                with self.connection.transaction():
                    done += self._score_batch(part, settings, rescore=rescore)
            except Exception as error:
                if not _is_isolated(error, part) or not part.patterns:
                    raise
                if len(part.patterns) > 1:
                    parts += reversed(part.halves())
                    continue
                cancelled = isinstance(error, psycopg.errors.QueryCanceled)
                cancels = cancels + 1 if cancelled else 0
                if 0 < cancels < CANCELS:
                    parts.append(part)
                    continue
                failed = self._writer.give_up(
                    part, settings.champion, self.model, first_line(error), max(cancels, 1), marked=not cancelled
                )
                cancels = 0
                self.counters.batches += 1
                self._count_failure(failed)
                done += failed
        return done

    # The way of a batch

    def _begin(self, ends: Ends, claim: Claim) -> tuple[BatchSettings, ClaimedRows]:
        """BEGIN, the claim, and what has changed of what is kept, in one trip to the server."""
        with together(self.connection):
            ends.begin()
            claimed = claim()
            news = self.gatherer.ask(self.connection)
        self.gatherer.heed(self.connection, news)
        return claimed()

    def _score_batch(
        self, rows: ClaimedRows, settings: BatchSettings, *, rescore: bool, ends: Ends | None = None
    ) -> int:
        """Score claimed rows, and commit with the write where ``ends`` are given; returns how many are done."""
        if not len(rows):
            return 0
        gathered = self._gather(rows, settings)
        return self._write(self._ask(rows, settings, gathered, rescore=rescore), ends)

    def _claim(self, after: int, limit: int) -> Claimed:
        """The settings of a batch and its rows."""
        answer = send(self.connection, "claim", claimed_rows, {"after": after, "limit": limit})

        def read() -> tuple[BatchSettings, ClaimedRows]:
            found = answer.fetchall()
            rows = ClaimedRows.from_queue(found)
            self._plans.worked_on(len(rows))
            return found[0].settings, rows

        return read

    def _ask_settings(self) -> Callable[[], BatchSettings]:
        answer = send(self.connection, "batch_settings", class_row(BatchSettings))
        return lambda: answer.fetchall()[0]

    def _gather(self, rows: ClaimedRows, settings: BatchSettings) -> Gathered | None:
        """The inputs of the rows; None when there is no model to ask, or nothing to ask it."""
        if self.model is None or not rows.patterns:
            return None
        return self.gatherer.gather(
            self.connection,
            rows.patterns,
            benchmark=settings.benchmark,
            history_lag_us=settings.history_lag_us,
            told=True,
        )

    def _ask(
        self, rows: ClaimedRows, settings: BatchSettings, gathered: Gathered | None, *, rescore: bool
    ) -> ScoredBatch:
        """What the champion and then its challengers answer."""
        model, answers = self.model, scoring.without_model(len(rows.patterns))
        challengers: list[ChallengerAnswers] = []
        if gathered is not None:
            model, answers = self.champion.ask(self.connection, gathered, settings.min_quality)
            if model is not None and model.id == settings.champion:
                ids = [pattern.id for pattern in rows.patterns]
                challengers = self.challengers.ask(settings.challenges, gathered, ids, settings.min_quality)
        hashes = gathered.hashes() if gathered else [bytes(16)] * len(rows.patterns)
        return ScoredBatch(rows, gathered, hashes, settings.champion, rescore, model, answers, challengers)

    def _write(self, batch: ScoredBatch, ends: Ends | None) -> int:
        """Write everything in one call; returns how many rows are done."""
        done = self._writer.batch(batch, ends)
        self._count(batch, done)
        return len(done.rows) + len(batch.rows.orphans)

    # Failures and counts

    def _count(self, batch: ScoredBatch, done: Done) -> None:
        answers = batch.answers
        good = [i for i in sorted(done.rows - done.refused) if answers.error[i] is None]
        scored, failed = int(np.isfinite(answers.confidence[good]).sum()), len(done.rows) - len(good)
        self.counters.batches += 1
        self.counters.scored += scored
        self.counters.fallbacks += sum(answers.reason[i] is not None for i in good)
        self._count_failure(failed)
        logger.debug(
            "a batch of %(rows)d: %(scored)d scored by %(model)s in %(inference_ms).2f ms, %(failed)d failed",
            event(
                "batch_scored",
                rows=len(done.rows),
                scored=scored,
                failed=failed,
                model=batch.model.version if batch.model else None,
                inference_ms=answers.inference_ms,
            ),
        )

    def _count_failure(self, failed: int) -> None:
        """A row that fails falls back, too."""
        self.counters.fallbacks += failed
        self.counters.failed += failed


def prepare(connection: Connection) -> None:
    """Give a scoring connection its array types and its session profile; it must be in autocommit mode."""
    composites.register(connection)
    prepare_scoring(connection)
