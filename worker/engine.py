"""The way of a batch: claim, gather, infer, write, all in one transaction."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import psycopg
from psycopg.types.json import Jsonb

from db_functions.contract import CONTEXT_COLUMNS, LEVEL_COLUMNS
from db_functions.database import Connection
from db_functions.errors import ChampionChanged, translated
from db_functions.gather import Gathered, Gatherer, Pattern
from db_functions.queries import query
from worker import arrays, scoring
from worker.champion import Champion
from worker.log import event
from worker.model import Model, first_line
from worker.tally import BinStore

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


@dataclass(frozen=True, slots=True)
class Work:
    """Rows to score. Rows that no queue holds have no ``queue_ids``, and None in ``enqueued_at_us``."""

    queue_ids: list[int]
    enqueued_at_us: list[int | None]
    patterns: list[Pattern]
    orphans: list[int]
    """Queue rows whose pattern is gone."""

    @classmethod
    def from_rows(cls, rows: Sequence[Sequence[Any]]) -> Work:
        kept = [row for row in rows if row[2] is not None]
        return cls(
            queue_ids=[row[0] for row in kept if row[0] is not None],
            enqueued_at_us=[row[1] for row in kept],
            patterns=[Pattern.from_row(row[2:]) for row in kept],
            orphans=[row[0] for row in rows if row[2] is None],
        )

    def halves(self) -> tuple[Work, Work]:
        """Two parts of at least one pattern each; queue rows without a pattern go with the first."""
        middle = len(self.patterns) // 2
        first, second = slice(None, middle), slice(middle, None)
        return (
            Work(self.queue_ids[first], self.enqueued_at_us[first], self.patterns[first], self.orphans),
            Work(self.queue_ids[second], self.enqueued_at_us[second], self.patterns[second], []),
        )


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
        self.gatherer = Gatherer()
        self.last_claimed = 0
        self._bins = BinStore()
        self._cache_told = (0, 0)
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
        self._bins.forget()
        prepare(connection)

    def score_queue(self, limit: int = BATCH, after: int = 0) -> int:
        """Score up to ``limit`` waiting rows with ids above ``after``; returns how many were taken off the queue.

        ``last_claimed`` is then the highest id of those rows.
        """

        def claim() -> Work:
            rows = self.connection.execute(query("claim"), {"after": after, "limit": limit}).fetchall()
            if rows:
                self.last_claimed = rows[-1][0]
            return Work.from_rows(rows)

        return self._score(claim, rescore=False)

    def score_rows(self, rows: Sequence[Sequence[Any]], *, rescore: bool) -> int:
        """Score rows of the named query ``backfill_page``; returns how many there were."""
        return self._score(lambda: Work.from_rows(rows), rescore=rescore)

    def dead_letter(self, queue_id: int, error: str, attempts: int) -> int:
        """Give one waiting row up without scoring it; returns 1, or 0 when somebody else has it."""
        with self.connection.transaction():
            rows = self.connection.execute(query("claim"), {"after": queue_id - 1, "limit": 1}).fetchall()
            work = Work.from_rows([row for row in rows if row[0] == queue_id])
            if not work.patterns:
                return 0
            scores = scoring.Scores.empty(1)
            scores.error[0] = error
            self._write_failures(work, self.model, scores, [0], attempts)
        self.counters.fallbacks += 1
        self.counters.failed += 1
        return 1

    def refresh_model(self) -> None:
        """Load the champion if it has changed; commits."""
        with self.connection.transaction():
            _, _, _, champion = self._batch_state()
        self.champion.follow(self.connection, champion)

    def _score(self, claim: Callable[[], Work], *, rescore: bool) -> int:
        score = self._score_batch
        for _ in range(_TRIES):
            try:
                with translated(), self.connection.transaction():
                    state = self._batch_state()
                    if self.champion.follows(state[3]):
                        return score(claim(), state, rescore=rescore)
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

    def _score_by_halves(self, work: Work, state: tuple[Any, ...], *, rescore: bool) -> int:
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
            self._write_failures(work, self.model, scores, [0])
            self.counters.batches += 1
            self.counters.fallbacks += 1
            self.counters.failed += 1
            return 1

    def _batch_state(self) -> tuple[Any, ...]:
        state = self.connection.execute(query("batch_state")).fetchone()
        assert state is not None
        return state

    def _score_batch(self, work: Work, state: tuple[Any, ...], *, rescore: bool) -> int:
        min_quality, benchmark, lag_us, champion = state
        count = len(work.patterns) + len(work.orphans)
        if count == 0:
            return 0
        gathered: Gathered | None = None
        model, scores = self.model, scoring.without_model(len(work.patterns))
        if model and work.patterns:
            gathered = self.gatherer.gather(self.connection, work.patterns, benchmark=benchmark, history_lag_us=lag_us)
            model, scores = self.champion.ask(self.connection, gathered, min_quality)
        self._write(work, gathered, model, scores, champion, rescore=rescore)
        return count

    def _write(
        self,
        work: Work,
        gathered: Gathered | None,
        model: Model | None,
        scores: scoring.Scores,
        champion: int | None,
        *,
        rescore: bool,
    ) -> None:
        bars = self.gatherer.bars
        failed = set(scores.failed)
        good = [i for i in range(len(work.patterns)) if i not in failed]
        queue_ids = [work.queue_ids[i] for i in good] if work.queue_ids else []
        hashes = gathered.hashes() if gathered else [bytes(16)] * len(work.patterns)
        history = gathered.inputs["history"] if gathered else np.full((len(work.patterns), 2), np.nan)
        bars_seen = gathered.bars_seen if gathered else np.zeros(len(work.patterns), dtype=np.int64)
        scored = np.isfinite(scores.confidence)
        parameters = {
            "role": "champion",
            "champion": champion,
            "model": model.id if model else None,
            "queue_ids": arrays.Bigints(np.array(queue_ids + work.orphans, dtype=np.int64)),
            "enqueued_at": arrays.timestamps([work.enqueued_at_us[i] for i in good]),
            "pattern_ids": arrays.uuids([work.patterns[i].id for i in good]),
            "reasons": [scores.reason[i] for i in good],
            "confidence": arrays.Reals(scores.confidence[good], missing=~scored[good]),
            "probabilities": arrays.Reals(scores.probabilities[good]),
            "quality": arrays.Reals(scores.quality[good]),
            "bars": arrays.Smallints(bars_seen[good]),
            "features": None if scores.features is None else arrays.Reals(scores.features[good]),
            "history": arrays.Doubles(history[good]),
            "input_hashes": arrays.Digests(np.frombuffer(b"".join(hashes[i] for i in good), dtype="V16")),
            "inference_ms": scores.inference_ms,
            "cache_hits": bars.hits - self._cache_told[0],
            "cache_misses": bars.misses - self._cache_told[1],
            "rescore": rescore,
            "worker": self.worker_id,
        }
        row = self.connection.execute(query("write_batch"), parameters).fetchone()
        assert row is not None
        written_at, skipped = row[0], set(row[1] or ())
        self._cache_told = (bars.hits, bars.misses)
        if model and gathered:
            written = [i for place, i in enumerate(good) if scored[i] and place not in skipped]
            self._tally("champion", model, scores, gathered, written, written_at, live=bool(work.queue_ids))
        if failed:
            self._write_failures(work, model, scores, sorted(failed))
        self.counters.batches += 1
        self.counters.scored += int(scored[good].sum())
        self.counters.fallbacks += sum(scores.reason[i] is not None for i in good) + len(failed)
        self.counters.failed += len(failed)
        logger.debug(
            "a batch of %(rows)d: %(scored)d scored by %(model)s in %(inference_ms).2f ms, %(failed)d failed",
            event(
                "batch_scored",
                rows=len(work.patterns),
                scored=int(scored[good].sum()),
                failed=len(failed),
                model=model.version if model else None,
                inference_ms=scores.inference_ms,
            ),
        )

    def _tally(
        self,
        role: str,
        model: Model,
        scores: scoring.Scores,
        gathered: Gathered,
        rows: list[int],
        written_at: Any,
        *,
        live: bool,
    ) -> None:
        """Count the scored ``rows`` of a batch in the frozen bins of the model that scored them."""
        bins = self._bins.of(self.connection, model.id, model.feature_count) if rows else None
        if bins is None:
            return
        tally = bins.tally(
            None if scores.features is None else scores.features[rows],
            scores.confidence[rows],
            scores.probabilities[rows],
            {name: [str(text) for text in gathered.inputs[name][rows]] for name in ("pattern_type", "timeframe")},
        )
        self.connection.execute(
            query("write_tally"),
            {
                "role": role,
                "model": model.id,
                "source": "live" if live else "backfill",
                "written_at": written_at,
                "rows": tally.rows,
                "cells": arrays.Integers(tally.cells),
                "counts": arrays.Integers(tally.counts),
                "sums": arrays.Doubles(tally.sums),
                "squares": arrays.Doubles(tally.squares),
            },
        )

    def _write_failures(
        self, work: Work, model: Model | None, scores: scoring.Scores, rows: list[int], attempts: int = 1
    ) -> None:
        for i in rows:
            logger.error(
                "pattern %(pattern)s cannot be scored: %(error)s",
                event("pattern_failed", pattern=str(work.patterns[i].id), error=scores.error[i]),
            )
        self.connection.execute(
            query("write_failures"),
            {
                "model": model.id if model else None,
                "queue_ids": [work.queue_ids[i] for i in rows] if work.queue_ids else [],
                "pattern_ids": [work.patterns[i].id for i in rows],
                "errors": [scores.error[i] for i in rows],
                "attempts": [attempts] * len(rows),
                "snapshots": [Jsonb(snapshot(work.patterns[i])) for i in rows],
            },
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
    connection.execute("set jit = off; set enable_seqscan = off; set enable_hashjoin = off; set enable_mergejoin = off")
    connection.execute(
        "set lock_timeout = '5s'; set statement_timeout = '60s'; set idle_in_transaction_session_timeout = '60s'"
    )


def snapshot(pattern: Pattern) -> dict[str, Any]:
    """The row as it was read, as JSON: what a person needs to see why scoring failed."""
    levels = dict(zip(LEVEL_COLUMNS, pattern.levels, strict=True))
    market = pattern.market if isinstance(pattern.market, dict) else {}
    return {
        "symbol": pattern.symbol,
        "timeframe": pattern.timeframe,
        "pattern_type": pattern.pattern_type,
        "detected_at_us": pattern.detected_at_us,
        "direction": pattern.direction,
        "rule_confidence": _as_json(pattern.rule_confidence),
        **{name: _as_json(value) for name, value in levels.items()},
        **{name: _as_json(market[name]) for name in CONTEXT_COLUMNS if name in market},
    }


def _as_json(value: Any) -> Any:
    """JSON has no NaN and no infinity, and a client's metadata may hold anything: such values as text."""
    if value is None or isinstance(value, bool | str) or (isinstance(value, int | float) and math.isfinite(value)):
        return value
    return str(value)[:200]
