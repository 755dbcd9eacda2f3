"""The pure core: patterns and their inputs in, scores or reasons out. No database, no clock but for timing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from db_functions.contract import check_outputs, quality
from db_functions.gather import Gathered
from db_functions.model import Model, first_line

NO_MODEL = "no_model"
INSUFFICIENT_BARS = "insufficient_bars"
LOW_QUALITY = "low_quality"
FAILED = "failed"


@dataclass(slots=True)
class Scores:
    """What became of N rows, in their order.

    ``reason`` None: offered to the blend. ``confidence`` NaN: no score. ``error``: why the row failed, None if it did
    not; failed rows are to be dead-lettered, not written as scores.
    """

    reason: list[str | None]
    confidence: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    quality: NDArray[np.float32]
    features: NDArray[np.float32] | None
    error: list[str | None]
    inference_ms: float = 0.0
    failed: list[int] = field(default_factory=list)

    @property
    def unanswered(self) -> bool:
        """Whether the model was asked and not one row got an answer."""
        return bool(self.failed) and not np.isfinite(self.confidence).any()

    @classmethod
    def empty(cls, count: int, feature_count: int = 0) -> Scores:
        return cls(
            reason=[None] * count,
            confidence=np.full(count, np.nan, dtype=np.float32),
            probabilities=np.full((count, 3), np.nan, dtype=np.float32),
            quality=np.zeros(count, dtype=np.float32),
            features=np.full((count, feature_count), np.nan, dtype=np.float32) if feature_count else None,
            error=[None] * count,
        )


def without_model(count: int, reason: str = NO_MODEL) -> Scores:
    """Every row falls back: there is no model to ask, or none that answers (``FAILED``)."""
    scores = Scores.empty(count)
    scores.reason = [reason] * count
    return scores


def score(
    model: Model,
    gathered: Gathered,
    min_quality: float,
    rows: NDArray[np.intp] | None = None,
    deadline: float | None = None,
) -> Scores:
    """Score ``rows``, or all, in one graph call; a row that makes the call fail is found by halving and marked.

    After ``deadline``, of ``time.monotonic()``, the call is ended and nothing is halved any more.
    """
    count = len(gathered)
    scores = Scores.empty(count, model.feature_count)
    enough = gathered.bars_seen >= model.min_bars
    for i in np.flatnonzero(~enough):
        scores.reason[i] = INSUFFICIENT_BARS
    started = time.perf_counter()
    asked = np.flatnonzero(enough) if rows is None else rows[enough[rows]]
    _score_some(model, gathered, asked, scores, deadline)
    scores.inference_ms = (time.perf_counter() - started) * 1000
    for i in np.flatnonzero(np.isfinite(scores.confidence) & (scores.quality < min_quality)):
        scores.reason[i] = LOW_QUALITY
    scores.failed = [i for i, error in enumerate(scores.error) if error is not None]
    return scores


def _score_some(
    model: Model, gathered: Gathered, rows: NDArray[np.intp], scores: Scores, deadline: float | None
) -> None:
    if len(rows) == 0:
        return
    inputs = gathered.feed(model.input_names, rows)
    try:
        outputs = model.run(inputs, deadline)
        good = check_outputs(outputs, len(rows))
    except Exception as error:  # noqa: BLE001  # whatever a model raises is that row's, or the model's, fault
        if len(rows) == 1 or (deadline is not None and time.monotonic() > deadline):
            for i in rows:
                scores.error[i] = f"{type(error).__name__}: {first_line(error)}"
            return
        middle = len(rows) // 2
        _score_some(model, gathered, rows[:middle], scores, deadline)
        _score_some(model, gathered, rows[middle:], scores, deadline)
        return
    for i in np.flatnonzero(~good):
        scores.error[rows[i]] = (
            f"the model answered {_plain(outputs['probabilities'][i])} with confidence "
            f"{float(outputs['ml_confidence'][i]):g}; they must lie in 0..1, add to 1, and end in the confidence"
        )
    kept = rows[good]
    scores.probabilities[kept] = np.clip(outputs["probabilities"][good], 0, 1)
    # The contract says that they are equal; taking one from the other makes it exact.
    scores.confidence[kept] = scores.probabilities[kept, 2]
    scores.quality[kept] = quality(outputs, inputs)[good]
    if scores.features is not None:
        scores.features[kept] = outputs["features"][good]


def _plain(values: Sequence[Any] | NDArray[Any]) -> str:
    return "[" + ", ".join(f"{float(value):g}" for value in values) + "]"
