"""The models that challenge the champion: kept up with, and asked about rows that the champion has answered.

A challenger is a guest. What is wrong with it is logged and costs its own scores, never the champion's; one that takes
too long or does not answer is set aside for a while.
"""

from __future__ import annotations

import hashlib
import logging
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from db_functions.database import Connection
from db_functions.errors import InvalidModel
from db_functions.gather import Gathered
from db_functions.model import Model
from worker.log import event
from worker.serving import scoring
from worker.serving.breaker import Breaker
from worker.serving.champion import fetch

logger = logging.getLogger(__name__)

TIME_LIMIT_S = 1.0
"""What a batch waits for one challenger, at most; the watchdog looks four times a second."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """A challenger scores the rows whose fraction lies below ``share``, and serves those in its canary's stretch."""

    model_id: int
    share: float
    canary: tuple[float, float]

    @classmethod
    def from_rows(cls, rows: Sequence[Sequence[float]] | None) -> list[Challenge]:
        """From (model, share, canary) in order; the canaries lie side by side, so that no row is served by two."""
        found, start = [], 0.0
        for model_id, share, canary in rows or ():
            found.append(cls(int(model_id), share, (start, start + canary)))
            start += canary
        return found


@dataclass(frozen=True, slots=True)
class Answer:
    """What a challenger made of a batch; ``rows`` are the places that it answered, ``canary`` those that it serves."""

    model: Model
    scores: scoring.Scores
    rows: list[int]
    canary: list[int]


class Challengers:
    """The challengers of the moment, each with its model, or None where that does not load, and its breaker."""

    def __init__(self) -> None:
        self._loaded: dict[int, tuple[Model | None, Breaker]] = {}

    def follows(self, challenges: Sequence[Challenge]) -> bool:
        """Whether all of them have been tried."""
        return all(challenge.model_id in self._loaded for challenge in challenges)

    def follow(self, connection: Connection, challenges: Sequence[Challenge]) -> None:
        """Load those that are new, and forget the others."""
        wanted = [challenge.model_id for challenge in challenges]
        self._loaded = {model_id: kept for model_id, kept in self._loaded.items() if model_id in wanted}
        for model_id in wanted:
            if model_id not in self._loaded:
                self._loaded[model_id] = (self._fetch(connection, model_id), Breaker())

    def ask(
        self, challenges: Sequence[Challenge], gathered: Gathered, pattern_ids: Sequence[str], min_quality: float
    ) -> list[Answer]:
        """Their answers to the rows that are in their share."""
        if not challenges:
            return []
        fractions = np.array([fraction_of(pattern_id) for pattern_id in pattern_ids])
        answers = []
        for challenge in challenges:
            model, breaker = self._loaded[challenge.model_id]
            low, high = challenge.canary
            # A canary is always in the share: who serves a row has scored it.
            serves = (fractions >= low) & (fractions < high)
            rows = np.flatnonzero((fractions < challenge.share) | serves)
            if model is None or not len(rows) or not breaker.lets_through():
                continue
            scores = self._score(model, breaker, gathered, rows, min_quality)
            if scores is not None:
                offered = [int(i) for i in rows if np.isfinite(scores.confidence[i]) and scores.reason[i] is None]
                answers.append(Answer(model, scores, offered, [i for i in offered if serves[i]]))
        return answers

    def _score(
        self, model: Model, breaker: Breaker, gathered: Gathered, rows: NDArray[np.intp], min_quality: float
    ) -> scoring.Scores | None:
        deadline = time.monotonic() + TIME_LIMIT_S
        scores = scoring.score(model, gathered, min_quality, rows, deadline)
        late = time.monotonic() > deadline
        if not late and not scores.unanswered:
            if np.isfinite(scores.confidence).any() and breaker.answered():
                logger.warning("challenger %(model)s answers again", event("challenger_recovered", model=model.version))
            return scores
        if breaker.failed(proven=late):
            error = f"took longer than {TIME_LIMIT_S:g} s" if late else scores.error[scores.failed[0]]
            logger.warning(
                "challenger %(model)s is set aside for a while: %(error)s",
                event("challenger_set_aside", model=model.version, error=error),
            )
        return None

    def _fetch(self, connection: Connection, model_id: int) -> Model | None:
        try:
            return fetch(connection, model_id)
        except InvalidModel as error:
            logger.error("%(error)s; it challenges nobody", event("challenger_refused", error=str(error)))  # noqa: TRY400  # the message says it all
            return None


def fraction_of(pattern_id: str | uuid.UUID) -> float:
    """Where in 0 to 1 a pattern falls, as ``ml_internal.fraction_of`` has it."""
    digest = hashlib.sha256(uuid.UUID(str(pattern_id)).bytes).digest()
    return int.from_bytes(digest[:4]) / 2**32
