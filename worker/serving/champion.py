"""The model that scores: the champion, or the previous one while the champion does not serve."""

from __future__ import annotations

import logging
import math
import time

import numpy as np

from db_functions.database import Connection
from db_functions.errors import HostFault, InvalidModel, first_line
from db_functions.gather import Gathered
from db_functions.model import Model, verify
from db_functions.queries import fetch_value
from worker.log import event
from worker.serving import scoring
from worker.serving.breaker import Breaker
from worker.serving.loading import Loader

logger = logging.getLogger(__name__)

AGAIN_S = 60.0
"""How long after a fault of this host, not of the model, a champion is loaded again."""

_FEW = 8
"""Rows that are kept to warm the model with, at most: a large batch would hold on to megabytes."""


class Champion:
    """``model`` is asked first, None when no model loads; ``error`` says what is wrong with the champion."""

    def __init__(self, loader: Loader | None = None) -> None:
        self._loader = loader or Loader()
        self.model: Model | None = None
        self.error: str | None = None
        self._breaker = Breaker()
        self._standby: Model | None = None
        self._tried: int | None = None
        """The champion that was loaded last, failed to load, or is loading."""
        self._again_at = math.inf
        self._answered: Gathered | None = None
        """A few rows that it has answered."""

    def follows(self, champion: int | None) -> bool:
        """Whether there is nothing to do for ``champion``: it was loaded last, failed to load, or is loading."""
        return champion == self._tried and time.monotonic() < self._again_at and not self._loader.has_news(champion)

    def follow(self, connection: Connection, champion: int | None) -> None:
        """Make ``champion`` the model that scores; keep the previous one until it has loaded, or if it does not."""
        if self.follows(champion) and champion is not None:
            return
        answers = self.model is not None and self._breaker.lets_through()
        self._tried, self._again_at = champion, math.inf
        self.error = None
        self._breaker, self._standby = Breaker(), None
        if champion is None:
            self.model = None
            return
        try:
            loaded = self._loader.fetch(connection, champion, wait=not answers)
            if loaded is None:
                return
            self.model = loaded
        except InvalidModel as error:
            self.error = str(error)
            if isinstance(error, HostFault):
                self._again_at = time.monotonic() + AGAIN_S
            if self.model is None:
                self.model = self._fetch_standby(connection)
            kept = self.model.version if self.model else "the rules"
            logger.error("%(error)s; going on with %(kept)s", event("model_refused", error=str(error), kept=kept))  # noqa: TRY400  # the message says it all

    def ask(
        self, connection: Connection, gathered: Gathered, min_quality: float
    ) -> tuple[Model | None, scoring.ModelAnswers]:
        """Answers, and the model that gave them: while the champion is set aside, the previous one, or None."""
        model = self.model
        assert model is not None, "no model is loaded"
        if self._breaker.lets_through():
            answers = scoring.score(model, gathered, min_quality)
            if not answers.unanswered:
                if np.isfinite(answers.confidence).any() and self._breaker.answered():
                    logger.warning("model %(model)s answers again", event("model_recovered", model=model.version))
                    self.error = None
                if len(gathered) <= _FEW:
                    self._answered = gathered
                return model, answers
            if not self._breaker.failed(proven=fails_golden_rows(model)):
                return model, answers
            self.error = f"model {model.version} does not answer: {answers.error[answers.failed[0]]}"
            logger.error(
                "%(error)s; set aside for a while", event("model_set_aside", model=model.version, error=self.error)
            )
        return self._ask_standby(connection, gathered, min_quality)

    def consult(
        self, connection: Connection, gathered: Gathered, min_quality: float
    ) -> tuple[Model | None, scoring.ModelAnswers]:
        """As :meth:`ask`, for what is no row: it may not set the model aside."""
        assert self.model is not None, "no model is loaded"
        if self._breaker.lets_through():
            return self.model, scoring.score(self.model, gathered, min_quality)
        return self._ask_standby(connection, gathered, min_quality)

    def _ask_standby(
        self, connection: Connection, gathered: Gathered, min_quality: float
    ) -> tuple[Model | None, scoring.ModelAnswers]:
        if self._standby is None and self.model is not None and self.model.id == self._tried:
            self._standby = self._fetch_standby(connection)
        if self._standby is None:
            return None, scoring.without_model(len(gathered), scoring.FAILED)
        return self._standby, scoring.score(self._standby, gathered, min_quality)

    def warm(self) -> None:
        """Run the model on a row that it has answered before, for nothing but its speed afterwards."""
        if self.model is None or self._answered is None or not self._breaker.lets_through():
            return
        try:
            self.model.run(self._answered.feed(self.model.input_names, slice(0, 1)))
        except Exception as error:  # noqa: BLE001  # whatever a model raises; a row that is asked will tell
            logger.debug("an idle run failed: %(error)s", event("idle_run_failed", error=first_line(error)))
            self._answered = None

    def _fetch_standby(self, connection: Connection) -> Model | None:
        """The previous champion; None when there is none, or it does not load."""
        model_id = fetch_value(connection, "previous_champion", {"champion": self._tried})
        if model_id is None:
            return None
        try:
            return self._loader.fetch(connection, model_id, wait=True)
        except InvalidModel as error:
            logger.error("%(error)s; no model stands by", event("standby_refused", error=str(error)))  # noqa: TRY400  # the message says it all
            return None


def fails_golden_rows(model: Model) -> bool:
    """Whether the model fails rows that it has answered before: then the model is at fault, not the rows."""
    try:
        verify(model)
    except InvalidModel:
        return True
    return False
