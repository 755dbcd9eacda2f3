"""The model that scores: the champion, or the previous one while the champion does not serve."""

from __future__ import annotations

import logging
import math
import platform
import time
from dataclasses import dataclass

import numpy as np
import onnxruntime as ort

from db_functions.contract import PARITY_TOLERANCE
from db_functions.database import Connection
from db_functions.errors import HostFault, InvalidModel, first_line
from db_functions.gather import Gathered
from db_functions.model import Model, Parity, load, run_plain_rows, verify
from db_functions.queries import fetch_one, fetch_value, query
from db_functions.sandbox import require_trial
from worker import __version__
from worker.log import event
from worker.serving import scoring
from worker.serving.breaker import Breaker

logger = logging.getLogger(__name__)

AGAIN_S = 60.0
"""How long after a fault of this host, not of the model, a champion is loaded again."""


class Champion:
    """``model`` is asked first, None when no model loads; ``error`` says what is wrong with the champion."""

    def __init__(self) -> None:
        self.model: Model | None = None
        self.error: str | None = None
        self._breaker = Breaker()
        self._standby: Model | None = None
        self._tried: int | None = None
        """The champion that was loaded last, or failed to load."""
        self._again_at = math.inf

    def follows(self, champion: int | None) -> bool:
        """Whether ``champion`` is the one that was loaded last, or failed to load."""
        return champion == self._tried and time.monotonic() < self._again_at

    def follow(self, connection: Connection, champion: int | None) -> None:
        """Make ``champion`` the model that scores; keep the previous one when it does not load."""
        if self.follows(champion) and champion is not None:
            return
        self._tried, self._again_at = champion, math.inf
        self.error = None
        self._breaker, self._standby = Breaker(), None
        if champion is None:
            self.model = None
            return
        try:
            self.model = fetch(connection, champion)
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

    def _fetch_standby(self, connection: Connection) -> Model | None:
        """The previous champion; None when there is none, or it does not load."""
        model_id = fetch_value(connection, "previous_champion", {"champion": self._tried})
        if model_id is None:
            return None
        try:
            return fetch(connection, model_id)
        except InvalidModel as error:
            logger.error("%(error)s; no model stands by", event("standby_refused", error=str(error)))  # noqa: TRY400  # the message says it all
            return None


@dataclass(frozen=True, slots=True)
class _ModelFile:
    """The row of ``model_file``."""

    version: str
    onnx: bytes
    sha256: str
    golden: bytes | None


def fetch(connection: Connection, model_id: int, *, record: bool = True) -> Model:
    """Read a model, try it in a child, load it here, replay its golden rows, and record how they came out.

    Raises InvalidModel whatever is wrong with it, or HostFault when this host is at fault.
    """
    file = fetch_one(connection, "model_file", _ModelFile, {"id": model_id})
    if file is None:
        raise InvalidModel(f"model {model_id} is not in the registry")
    model, parity = _try(model_id, file)
    if parity is not None and record:
        _record_parity(connection, model, parity)
    off_by = parity.max_abs_diff if parity else None
    logger.info(
        "model %(model)s loaded: %(features)d features, %(golden)s",
        event(
            "model_loaded",
            model=model.version,
            features=model.feature_count,
            golden="no golden rows to replay" if off_by is None else f"golden rows off by {off_by:.3g}",
            golden_rows_off_by=off_by,
        ),
    )
    return model


def _try(model_id: int, file: _ModelFile) -> tuple[Model, Parity | None]:
    try:
        require_trial(file.version, file.onnx, file.golden)
        model = load(model_id, file.version, file.onnx, file.sha256, file.golden)
        parity = verify(model)
        if parity is None:
            # The first run of a graph is slow, and may fail: no row should be claimed during it.
            run_plain_rows(model)
    except OSError as error:
        raise HostFault(f"model {file.version} cannot be tried on this host: {first_line(error)}") from error
    except Exception as error:
        if isinstance(error, InvalidModel):
            raise
        raise InvalidModel(f"model {file.version} does not load: {first_line(error)}") from error
    return model, parity


def _record_parity(connection: Connection, model: Model, parity: Parity) -> None:
    """Tell the gates of ml.promote, which can run no model."""
    connection.execute(
        query("record_parity_once"),
        {
            "version": model.version,
            "max_abs_diff": parity.max_abs_diff,
            "tolerance": PARITY_TOLERANCE,
            "rows": parity.rows,
            "runtime": f"worker {__version__}, onnxruntime {ort.__version__}, {platform.machine()}",
        },
    )


def fails_golden_rows(model: Model) -> bool:
    """Whether the model fails rows that it has answered before: then the model is at fault, not the rows."""
    try:
        verify(model)
    except InvalidModel:
        return True
    return False
