"""The models that challenge the champion: loaded when they change, and asked about rows that the champion has answered.

A challenger is a guest: its faults are logged and cost its own scores, never the champion's. One that takes too long or
does not answer is set aside for a while.
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
from worker.serving.loading import Loader

logger = logging.getLogger(__name__)

TIME_LIMIT_S = 1.0
"""The longest that a batch waits for one challenger; the watchdog looks four times a second."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """A challenger scores the rows whose fraction lies below ``share``, and serves those in its canary's stretch."""

    model_id: int
    share: float
    canary: tuple[float, float]

    @classmethod
    def from_shares(cls, shares: Sequence[Sequence[float]]) -> list[Challenge]:
        """From (model, share, canary) in order. The canaries lie side by side, so that no row is served by two."""
        found, start = [], 0.0
        for model_id, share, canary in shares:
            found.append(cls(int(model_id), share, (start, start + canary)))
            start += canary
        return found


@dataclass(frozen=True, slots=True)
class ChallengerAnswers:
    """A challenger's answers to a batch: it answered ``rows`` (places in the batch) and serves those in ``canary``."""

    model: Model
    answers: scoring.ModelAnswers
    rows: list[int]
    canary: list[int]


class Challengers:
    """The current challengers, each with its breaker and its model, which is None when it does not load."""

    def __init__(self, loader: Loader | None = None) -> None:
        self._loader = loader or Loader()
        self._loaded: dict[int, tuple[Model | None, Breaker]] = {}

    @property
    def models(self) -> list[Model]:
        """Those that are loaded, by id."""
        return [model for _, (model, _) in sorted(self._loaded.items()) if model is not None]

    def follows(self, challenges: Sequence[Challenge]) -> bool:
        """Whether every one of them has been tried, or is loading."""
        return all(
            challenge.model_id in self._loaded or self._loader.is_loading(challenge.model_id)
            for challenge in challenges
        )

    def follow(self, connection: Connection, challenges: Sequence[Challenge]) -> None:
        """Load those that are new, and forget the others."""
        wanted = [challenge.model_id for challenge in challenges]
        self._loaded = {model_id: kept for model_id, kept in self._loaded.items() if model_id in wanted}
        for model_id in wanted:
            if model_id not in self._loaded:
                self._load(connection, model_id)

    def ask(
        self, challenges: Sequence[Challenge], gathered: Gathered, pattern_ids: Sequence[str], min_quality: float
    ) -> list[ChallengerAnswers]:
        """The answers of each to the rows in its share."""
        if not challenges:
            return []
        fractions = np.array([fraction_of(pattern_id) for pattern_id in pattern_ids])
        found = []
        for challenge in challenges:
            model, breaker = self._loaded.get(challenge.model_id, (None, Breaker()))  # None while it loads
            low, high = challenge.canary
            # The model that serves a row has scored it: a canary's rows belong to its share.
            serves = (fractions >= low) & (fractions < high)
            rows = np.flatnonzero((fractions < challenge.share) | serves)
            if model is None or not len(rows) or not breaker.lets_through():
                continue
            answers = self._score(model, breaker, gathered, rows, min_quality)
            if answers is not None:
                offered = answers.offered
                found.append(ChallengerAnswers(model, answers, offered, [i for i in offered if serves[i]]))
        return found

    def _score(
        self, model: Model, breaker: Breaker, gathered: Gathered, rows: NDArray[np.intp], min_quality: float
    ) -> scoring.ModelAnswers | None:
        deadline = time.monotonic() + TIME_LIMIT_S
        answers = scoring.score(model, gathered, min_quality, rows, deadline)
        late = time.monotonic() > deadline
        if not late and not answers.unanswered:
            if np.isfinite(answers.confidence).any() and breaker.answered():
                logger.warning("challenger %(model)s answers again", event("challenger_recovered", model=model.version))
            return answers
        if breaker.failed(proven=late):
            error = f"took longer than {TIME_LIMIT_S:g} s" if late else answers.error[answers.failed[0]]
            logger.warning(
                "challenger %(model)s is set aside for a while: %(error)s",
                event("challenger_set_aside", model=model.version, error=error),
            )
        return None

    def _load(self, connection: Connection, model_id: int) -> None:
        try:
            model = self._loader.fetch(connection, model_id, wait=False)
            if model is not None:
                self._loaded[model_id] = model, Breaker()
        except InvalidModel as error:
            logger.error("%(error)s; it is no challenger", event("challenger_refused", error=str(error)))  # noqa: TRY400  # the message says it all
            self._loaded[model_id] = None, Breaker()


def fraction_of(pattern_id: str | uuid.UUID) -> float:
    """The place of a pattern between 0 and 1, as ``ml_internal.fraction_of`` computes it."""
    digest = hashlib.sha256(uuid.UUID(str(pattern_id)).bytes).digest()
    return int.from_bytes(digest[:4]) / 2**32
