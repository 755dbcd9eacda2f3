"""How scores get into the database: rows, log, counts, pairs and dead letters, each by the function that may."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from psycopg.types.json import Jsonb

from db_functions.bars import BarStore
from db_functions.contract import CONTEXT_COLUMNS, LEVEL_COLUMNS
from db_functions.database import Connection
from db_functions.gather import Gathered, Pattern
from db_functions.model import Model
from db_functions.queries import query
from worker.log import event
from worker.serving import arrays, scoring
from worker.serving.batch import ClaimedRows, ScoredBatch
from worker.serving.challengers import ChallengerAnswers
from worker.serving.tally import BinStore

logger = logging.getLogger(__name__)

_NO_TALLY = dict.fromkeys(("source", "rows", "cells", "counts", "sums", "squares"))


class Writer:
    """Writes over one connection, in the transaction of whoever calls."""

    def __init__(self, connection: Connection, worker_id: int | None, bars: BarStore) -> None:
        self.connection = connection
        self.worker_id = worker_id
        self._bars = bars
        self._bins = BinStore()
        self._cache_told = (0, 0)
        self.left = set[int]()
        """Queue rows written last that stay in the queue, since somebody else has their patterns locked."""

    def reconnected(self, connection: Connection) -> None:
        """Go on over a new connection."""
        self.connection = connection
        self._bins.forget()

    def rows(
        self,
        role: str,
        batch: ScoredBatch,
        model: Model | None,
        scores: scoring.ModelAnswers,
        rows: list[int],
        orphans: Sequence[int] = (),
    ) -> tuple[Any, set[int]]:
        """Offer the scores of ``rows`` to them; returns when, and which took theirs."""
        work, bars = batch.rows, self._bars
        scored = np.isfinite(scores.confidence)
        whole = role != "canary"
        queue_ids = [work.queue_ids[i] for i in rows] if work.queue_ids else []
        parameters = {
            "role": role,
            "champion": batch.champion,
            "model": model.id if model else None,
            "queue_ids": arrays.Bigints(np.array([*queue_ids, *orphans], dtype=np.int64)),
            "enqueued_at": arrays.timestamps([work.enqueued_at_us[i] for i in rows]),
            "pattern_ids": arrays.uuids([work.patterns[i].id for i in rows]),
            "reasons": [scores.reason[i] for i in rows],
            "confidence": arrays.Reals(scores.confidence[rows], missing=~scored[rows]),
            "probabilities": arrays.Reals(scores.probabilities[rows]),
            "features": None if scores.features is None else arrays.Reals(scores.features[rows]),
            "inference_ms": scores.inference_ms,
            # Of the whole batch, so told once.
            "cache_hits": bars.hits - self._cache_told[0] if whole else 0,
            "cache_misses": bars.misses - self._cache_told[1] if whole else 0,
            "rescore": batch.rescore,
            "worker": self.worker_id,
            **batch.inputs_of(rows),
            "quality": arrays.Reals(scores.quality[rows]),
            **_NO_TALLY,
        }
        counted = [i for i in rows if scored[i]]
        tally = self._tally(model, scores, batch.gathered, counted) if model and batch.gathered else None
        if tally:
            parameters |= {"source": batch.source, **tally}
        row = self.connection.execute(query("write_batch"), parameters).fetchone()
        assert row is not None
        written_at, skipped = row[0], set(row[1] or ())
        if skipped and work.queue_ids:
            self._find_left(work, rows)
        if whole:
            self._cache_told = (bars.hits, bars.misses)
        written = [i for place, i in enumerate(rows) if place not in skipped]
        if skipped and model and batch.gathered:
            self._write_tally(role, model, scores, batch, [i for i in written if scored[i]], written_at)
        return written_at, set(written)

    def shadow(
        self,
        batch: ScoredBatch,
        shadow: ChallengerAnswers,
        champion: scoring.ModelAnswers,
        rows: list[int],
        written_at: Any,
    ) -> None:
        """Log what a challenger made of ``rows``, which have been written, beside the champion's scores."""
        canary = [i in shadow.canary for i in rows]
        self.connection.execute(
            query("write_shadow"),
            {
                "challenger": shadow.model.id,
                "champion": batch.champion,
                "written_at": written_at,
                "source": batch.source,
                "pattern_ids": arrays.uuids([batch.rows.patterns[i].id for i in rows]),
                "canary": canary,
                "confidence": arrays.Reals(shadow.answers.confidence[rows]),
                "champion_confidence": arrays.Reals(champion.confidence[rows]),
                "probabilities": arrays.Reals(shadow.answers.probabilities[rows]),
                "quality": arrays.Reals(shadow.answers.quality[rows]),
                "features": None if shadow.answers.features is None else arrays.Reals(shadow.answers.features[rows]),
                "inference_ms": shadow.answers.inference_ms,
                "worker": self.worker_id,
                **batch.inputs_of(rows),
            },
        )
        own = [i for i, serves in zip(rows, canary, strict=True) if not serves]
        self._write_tally("challenger", shadow.model, shadow.answers, batch, own, written_at)

    def _write_tally(
        self,
        role: str,
        model: Model,
        scores: scoring.ModelAnswers,
        batch: ScoredBatch,
        rows: list[int],
        written_at: Any,
    ) -> None:
        assert batch.gathered is not None
        if tally := self._tally(model, scores, batch.gathered, rows):
            given = {"role": role, "model": model.id, "source": batch.source, "written_at": written_at, **tally}
            self.connection.execute(query("write_tally"), given)

    def _tally(
        self, model: Model, scores: scoring.ModelAnswers, gathered: Gathered, rows: list[int]
    ) -> dict[str, Any] | None:
        """How scored ``rows`` of a batch fall into the frozen bins of the model, as parameters; None without bins."""
        bins = self._bins.of(self.connection, model.id, model.feature_count) if rows else None
        if bins is None:
            return None
        tally = bins.tally(
            None if scores.features is None else scores.features[rows],
            scores.confidence[rows],
            scores.probabilities[rows],
            {name: [str(text) for text in gathered.inputs[name][rows]] for name in ("pattern_type", "timeframe")},
        )
        return {
            "rows": tally.rows,
            "cells": arrays.Integers(tally.cells),
            "counts": arrays.Integers(tally.counts),
            "sums": arrays.Doubles(tally.sums),
            "squares": arrays.Doubles(tally.squares),
        }

    def failures(
        self, work: ClaimedRows, model: Model | None, scores: scoring.ModelAnswers, rows: list[int], attempts: int = 1
    ) -> None:
        """Make dead letters of ``rows``, but for those that somebody else has locked."""
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
        if work.queue_ids:
            self._find_left(work, rows)
        for i in rows:
            if not self.leaves(work, i):
                logger.error(
                    "pattern %(pattern)s cannot be scored: %(error)s",
                    event("pattern_failed", pattern=str(work.patterns[i].id), error=scores.error[i]),
                )

    def leaves(self, work: ClaimedRows, i: int) -> bool:
        """Whether row ``i``, written last, stays in the queue."""
        return bool(work.queue_ids) and work.queue_ids[i] in self.left

    def _find_left(self, work: ClaimedRows, rows: Sequence[int]) -> None:
        """Note which of ``rows``, just written, stay in the queue, and announce the others."""
        queue_ids = [work.queue_ids[i] for i in rows]
        self.left.update(row[0] for row in self.connection.execute(query("still_queued"), {"queue_ids": queue_ids}))
        done = [work.patterns[i].id for i in rows if not self.leaves(work, i)]
        self.connection.execute(query("announce_scores"), {"pattern_ids": arrays.uuids(done)})


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
