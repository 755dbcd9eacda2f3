"""Answers questions about surfaces: gathers the pattern, looks up what is known of the model, asks :mod:`surfaces`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from db_functions.database import Connection
from db_functions.model import Model
from db_functions.queries import fetch_row
from db_functions.surface import read_ranges
from worker.serving import scoring, surfaces
from worker.serving.batch import BatchSettings
from worker.serving.engine import Engine

if TYPE_CHECKING:
    from worker.serving.questions import Question

TRUST_S: Final = 60.0
"""How long what is known of a model is kept: its skill takes a while to sum up, and changes by the day."""
ANSWER_S: Final = 1.0
"""How long a model may take."""


@dataclass(frozen=True, slots=True)
class _Settings:
    """The row of ``surface_settings``."""

    horizon: int
    cost_bps: float


@dataclass(frozen=True, slots=True)
class _Trust:
    """The row of ``surface_trust``."""

    proven: bool
    baseline: Mapping[str, Any] | None


class _Kept(NamedTuple):
    model: Model
    """As it was loaded: by its id, another server might mean another one."""
    until: float
    trust: surfaces.Trust


class SurfaceAnswers:
    """Answers, with what is known of the model that was asked last."""

    def __init__(self) -> None:
        self._kept: _Kept | None = None

    def answer(
        self, engine: Engine, settings: BatchSettings, questions: Sequence[Question], error: str | None
    ) -> list[dict[str, Any]]:
        """One surface for each question, of the model that would score it."""
        if error is not None:
            return [{"reason": scoring.FAILED, "error": error}] * len(questions)
        if engine.model is None:
            return [{"reason": scoring.NO_MODEL, "error": "no model is loaded"}] * len(questions)
        return [self._surface(engine, settings, question) for question in questions]

    def _surface(self, engine: Engine, settings: BatchSettings, question: Question) -> dict[str, Any]:
        connection = engine.connection
        row = engine.gatherer.gather(
            connection, [question.pattern], benchmark=settings.benchmark, history_lag_us=settings.history_lag_us
        )
        model, drawn = engine.champion.consult(connection, row, settings.min_quality)
        if model is None or drawn.error[0] is not None:
            return {"reason": scoring.FAILED, "error": drawn.error[0] or "no model answers"}
        own = fetch_row(connection, "surface_settings", _Settings)
        asked = surfaces.Question(
            question.options.get("targets"), question.options.get("stops"), own.horizon, own.cost_bps
        )
        trust = self._trust(connection, model)
        return surfaces.answer(model, row, trust, asked, time.monotonic() + ANSWER_S)

    def _trust(self, connection: Connection, model: Model) -> surfaces.Trust:
        kept = self._kept
        if kept is None or kept.model is not model or time.monotonic() > kept.until:
            found = fetch_row(connection, "surface_trust", _Trust, {"model": model.id})
            trust = surfaces.Trust(found.proven, read_ranges(found.baseline))
            self._kept = kept = _Kept(model, time.monotonic() + TRUST_S, trust)
        return kept.trust
