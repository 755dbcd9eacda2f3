"""How a batch gets into the database: scores, log, counts, pairs, dead letters and queue, in one call."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from psycopg.rows import class_row

from db_functions import composites
from db_functions.bars import BarStore
from db_functions.composites import Column, Failures, Pairs, Runs, Scores
from db_functions.contract import CONTEXT_COLUMNS, LEVEL_COLUMNS
from db_functions.database import Connection
from db_functions.gather import Pattern
from db_functions.model import Model
from db_functions.queries import send
from db_functions.trips import Ends, together
from worker.log import event
from worker.serving.batch import ClaimedRows, ScoredBatch
from worker.serving.scoring import ModelAnswers
from worker.serving.tally import BinStore, Tally

logger = logging.getLogger(__name__)

Block = tuple[int, Sequence[Column]]


@dataclass(frozen=True, slots=True)
class Written:
    """What a call wrote: the row of the named query ``write_batch``."""

    written_at: datetime
    written: list[int] | None
    """Places, from 1, of the scores that rows took or that were logged."""
    kept: list[str]
    """Patterns whose rows stay in the queue: another session has them locked."""
    refused: list[dict[str, str]]
    """``pattern_id`` and ``error`` of those that are dead letters, since they did not let themselves be written."""


@dataclass(frozen=True, slots=True)
class Done:
    """Places of the rows that are done; those that refused to be written are among them."""

    rows: set[int]
    refused: set[int]


class Writer:
    """Writes over one connection, in the transaction of its caller."""

    def __init__(self, connection: Connection, worker_id: int | None, bars: BarStore) -> None:
        self.connection = connection
        self.worker_id = worker_id
        self._bars = bars
        self._bins = BinStore()
        self._cache_told = (0, 0)

    def reconnected(self, connection: Connection) -> None:
        """Go on over a new connection."""
        self.connection = connection
        self._bins.forget()

    def batch(self, batch: ScoredBatch, ends: Ends | None = None) -> Done:
        """Write what the models answered; with ``ends``, COMMIT travels with it."""
        answers, rows = batch.answers, batch.rows
        scores = _Collected()
        offered, failed = set(answers.offered), sorted(answers.failed)
        served = set[int]()
        for challenger in batch.challengers:
            serves = [i for i in challenger.canary if i in offered]
            self._add(scores, batch, "canary", challenger.model, challenger.answers, serves)
            served.update(serves)
        rest = [i for i in range(len(rows.patterns)) if i not in served and answers.error[i] is None]
        self._add(scores, batch, batch.role, batch.model, answers, rest)
        for challenger in batch.challengers:
            beside, canary = [i for i in challenger.rows if i in offered], set(challenger.canary)
            own = [i for i in beside if i not in canary]
            run = self._add(scores, batch, "challenger", challenger.model, challenger.answers, own, always=True)
            scores.pairs.append(_pairs(run, batch, challenger.answers, beside, canary))
        told = (self._bars.hits, self._bars.misses)
        hits, misses = (now - before for now, before in zip(told, self._cache_told, strict=True))
        written = self._call(
            batch.champion,
            batch.source,
            scores,
            failures=[_failure(rows.patterns[i], answers.error[i]) for i in failed],
            failed_model=batch.model,
            queue_ids=[*rows.queue_ids, *rows.orphans],
            cache=(hits, misses),
            rescore=batch.rescore,
            ends=ends,
        )
        self._cache_told = told
        done = _done(rows, written)
        for i in failed:
            if i in done.rows:
                _log_failure(rows.patterns[i].id, answers.error[i])
        for refusal in written.refused:
            _log_failure(refusal["pattern_id"], refusal["error"])
        return done

    def give_up(
        self,
        rows: ClaimedRows,
        champion: int | None,
        model: Model | None,
        error: str,
        attempts: int = 1,
        *,
        marked: bool = True,
    ) -> int:
        """Make a dead letter of the only row; returns 0 when another session has its pattern locked, else 1.

        The pattern says so too, unless ``marked`` is false: to update it is what cannot be done.
        """
        (pattern,) = rows.patterns
        written = self._call(
            champion,
            "live" if rows.queue_ids else "backfill",
            _Collected(),
            failures=[_failure(pattern, error, attempts, marked=marked)],
            failed_model=model,
            queue_ids=[*rows.queue_ids, *rows.orphans],
        )
        done = _done(rows, written)
        if done.rows:
            _log_failure(pattern.id, error)
        return len(done.rows)

    def _call(
        self,
        champion: int | None,
        source: str,
        scores: _Collected,
        *,
        failures: Sequence[Block],
        failed_model: Model | None,
        queue_ids: list[int],
        cache: tuple[int, int] = (0, 0),
        rescore: bool = False,
        ends: Ends | None = None,
    ) -> Written:
        parameters = {
            "champion": champion,
            "source": source,
            "runs": Runs.of(scores.runs),
            "scores": Scores.of(scores.scores),
            "pairs": Pairs.of(scores.pairs),
            "failures": Failures.of(failures),
            "failed_model": failed_model.id if failed_model else None,
            "queue_ids": queue_ids,
            "cache_hits": cache[0],
            "cache_misses": cache[1],
            "rescore": rescore,
            "worker": self.worker_id,
        }
        with together(self.connection):
            answer = send(self.connection, "write_batch", class_row(Written), parameters)
            if ends is not None:
                ends.commit()
        return answer.fetchall()[0]

    def _add(
        self,
        scores: _Collected,
        batch: ScoredBatch,
        role: str,
        model: Model | None,
        answers: ModelAnswers,
        rows: list[int],
        *,
        always: bool = False,
    ) -> int:
        """Collect what a model made of ``rows`` as one run; returns its place, from 1."""
        if not rows and not always:
            return 0
        counted = [i for i in rows if math.isfinite(answers.confidence[i])]
        tally = self._tally(model, answers, batch, counted) if model and batch.gathered and counted else None
        scores.runs.append(_run(model, role, answers.inference_ms, tally))
        blocks, _ = batch.score_rows(answers).blocks(len(scores.runs), rows)
        scores.scores += blocks
        return len(scores.runs)

    def _tally(self, model: Model, answers: ModelAnswers, batch: ScoredBatch, rows: list[int]) -> Tally | None:
        """How scored ``rows`` fall into the frozen bins of the model; None without bins."""
        bins = self._bins.of(self.connection, model.id, model.feature_count)
        if bins is None:
            return None
        assert batch.gathered is not None
        inputs = batch.gathered.inputs
        return bins.tally(
            None if answers.features is None else answers.features[rows],
            answers.confidence[rows],
            answers.probabilities[rows],
            {name: [str(text) for text in inputs[name][rows]] for name in ("pattern_type", "timeframe")},
        )


class _Collected:
    """The blocks of a call."""

    def __init__(self) -> None:
        self.runs: list[Block] = []
        self.scores: list[Block] = []
        self.pairs: list[Block] = []


def _run(model: Model | None, role: str, inference_ms: float, tally: Tally | None) -> Block:
    head = [
        composites.integers([model.id]) if model else composites.null(23),
        composites.text(role, 1),
        composites.reals([inference_ms]),
    ]
    if tally is None:
        return 1, [*head, composites.integers([0]), *(composites.null(oid) for oid in (1007, 1007, 1022, 1022))]
    return 1, [
        *head,
        composites.integers([tally.rows]),
        composites.integer_arrays(tally.cells[None, :]),
        composites.integer_arrays(tally.counts[None, :]),
        composites.double_arrays(tally.sums[None, :]),
        composites.double_arrays(tally.squares[None, :]),
    ]


def _pairs(run: int, batch: ScoredBatch, challenger: ModelAnswers, rows: list[int], canary: set[int]) -> Block:
    count = len(rows)
    if count == 0:
        return 0, []
    return count, [
        composites.smallints(np.full(count, run)),
        composites.uuids([batch.rows.patterns[i].id for i in rows]),
        composites.booleans([i in canary for i in rows]),
        composites.reals(challenger.confidence[rows]),
        composites.reals(batch.answers.confidence[rows]),
    ]


def _failure(pattern: Pattern, error: str | None, attempts: int = 1, *, marked: bool = True) -> Block:
    return 1, [
        composites.uuids([pattern.id]),
        composites.text((error or "").replace("\0", ""), 1),
        composites.integers([attempts]),
        composites.jsonb(snapshot(pattern), 1),
        composites.booleans([marked]),
    ]


def _done(rows: ClaimedRows, written: Written) -> Done:
    kept = set(written.kept)
    refused = {refusal["pattern_id"] for refusal in written.refused} - kept
    return Done(
        {i for i, pattern in enumerate(rows.patterns) if pattern.id not in kept},
        {i for i, pattern in enumerate(rows.patterns) if pattern.id in refused},
    )


def _log_failure(pattern_id: str, error: str | None) -> None:
    logger.error(
        "pattern %(pattern)s cannot be scored: %(error)s", event("pattern_failed", pattern=pattern_id, error=error)
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
