"""The pure core: gathered inputs in, answers or reasons out. No database; a clock for timing only."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from db_functions.contract import Arrays, check_outputs, quality, unanswered
from db_functions.errors import first_line
from db_functions.gather import Gathered
from db_functions.model import Model

NO_MODEL = "no_model"
INSUFFICIENT_BARS = "insufficient_bars"
LOW_QUALITY = "low_quality"
FAILED = "failed"
RUN_ROWS = 128
"""Rows in one run of the graph: what they take fits into the caches, so a row of 512 takes a seventh longer."""


@dataclass(slots=True)
class ModelAnswers:
    """What a model made of N rows, in their order.

    ``reason`` is why a row falls back, None where its score is offered to the blend. ``confidence`` is NaN without a
    score. ``error`` is why a row failed, None where it did not; failed rows become dead letters.
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
        """Whether the model was asked and answered no row."""
        return bool(self.failed) and not np.isfinite(self.confidence).any()

    @property
    def offered(self) -> list[int]:
        """The rows whose scores are offered to the blend."""
        good = np.isfinite(self.confidence)
        return [i for i, reason in enumerate(self.reason) if reason is None and good[i]]

    @classmethod
    def empty(cls, count: int, feature_count: int = 0) -> ModelAnswers:
        return cls(
            reason=[None] * count,
            confidence=np.full(count, np.nan, dtype=np.float32),
            probabilities=np.full((count, 3), np.nan, dtype=np.float32),
            quality=np.zeros(count, dtype=np.float32),
            features=np.full((count, feature_count), np.nan, dtype=np.float32) if feature_count else None,
            error=[None] * count,
        )


def without_model(count: int, reason: str = NO_MODEL) -> ModelAnswers:
    """Every row falls back: there is no model to ask, or none answers (``FAILED``)."""
    answers = ModelAnswers.empty(count)
    answers.reason = [reason] * count
    return answers


def score(
    model: Model,
    gathered: Gathered,
    min_quality: float,
    rows: NDArray[np.intp] | None = None,
    deadline: float | None = None,
) -> ModelAnswers:
    """Score ``rows``, or all, in as few runs as pay. When one fails, halving finds the row that is at fault.

    ``deadline``, of ``time.monotonic()``, ends the call; after it nothing is halved.
    """
    count = len(gathered)
    answers = ModelAnswers.empty(count, model.feature_count)
    enough = gathered.bars_seen >= model.min_bars
    for i in np.flatnonzero(~enough):
        answers.reason[i] = INSUFFICIENT_BARS
    started = time.perf_counter()
    asked = np.flatnonzero(enough) if rows is None else rows[enough[rows]]
    _ask(model, gathered, asked, answers, deadline)
    answers.inference_ms = (time.perf_counter() - started) * 1000
    for i in np.flatnonzero(np.isfinite(answers.confidence) & (answers.quality < min_quality)):
        answers.reason[i] = LOW_QUALITY
    answers.failed = [i for i, error in enumerate(answers.error) if error is not None]
    return answers


def _ask(
    model: Model, gathered: Gathered, asked: NDArray[np.intp], answers: ModelAnswers, deadline: float | None
) -> None:
    parts = [asked[first : first + RUN_ROWS] for first in range(0, len(asked), RUN_ROWS)]
    while parts:
        rows = parts.pop()
        inputs = gathered.feed(model.input_names, rows)
        try:
            outputs = model.run(inputs, deadline)
            good = check_outputs(outputs, len(rows))
        except Exception as error:  # noqa: BLE001  # whatever a model raises is the fault of that row, or of the model
            if len(rows) == 1 or (deadline is not None and time.monotonic() > deadline):
                for i in rows:
                    answers.error[i] = f"{type(error).__name__}: {first_line(error)}"
            else:
                middle = len(rows) // 2
                parts += [rows[middle:], rows[:middle]]
            continue
        _take(answers, rows, good, outputs, quality(outputs, inputs))


def _take(
    answers: ModelAnswers,
    rows: NDArray[np.intp],
    good: NDArray[np.bool_],
    outputs: Arrays,
    quality_of: NDArray[np.float32],
) -> None:
    silent = unanswered(outputs)
    for i in rows[silent]:
        answers.reason[i] = LOW_QUALITY
    for i in np.flatnonzero(~good & ~silent):
        answers.error[rows[i]] = (
            f"the model answered {_plain(outputs['probabilities'][i])} with confidence "
            f"{float(outputs['ml_confidence'][i]):g}; they must lie in 0..1, add to 1, and end in the confidence"
        )
    kept = rows[good]
    answers.probabilities[kept] = np.clip(outputs["probabilities"][good], 0, 1)
    # The contract says that they are equal; taking one from the other makes it exact.
    answers.confidence[kept] = answers.probabilities[kept, 2]
    answers.quality[kept] = quality_of[good]
    if answers.features is not None:
        answers.features[kept] = outputs["features"][good]


def _plain(values: Sequence[Any] | NDArray[Any]) -> str:
    return "[" + ", ".join(f"{float(value):g}" for value in values) + "]"
