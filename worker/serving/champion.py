"""The model that scores: the champion, kept up with; the one before it, when the champion will not serve."""

from __future__ import annotations

import logging
import math
import platform
import time

import numpy as np
import onnxruntime as ort

from db_functions.cage import require_trial
from db_functions.contract import PARITY_TOLERANCE
from db_functions.database import Connection
from db_functions.errors import HostFault, InvalidModel
from db_functions.gather import Gathered
from db_functions.model import Model, first_line, load, try_plain_rows, verify
from db_functions.queries import query
from worker import __version__
from worker.log import event
from worker.serving import scoring
from worker.serving.breaker import Breaker

logger = logging.getLogger(__name__)

AGAIN_S = 60.0
"""When a champion is tried again that this host, and not the model, had kept from loading."""


class Champion:
    """``model`` is asked first, None when there is none; ``error`` says what is wrong with the champion."""

    def __init__(self) -> None:
        self.model: Model | None = None
        self.error: str | None = None
        self._breaker = Breaker()
        self._standby: Model | None = None
        self._tried: int | None = None
        """The champion that was last loaded, or that would not load."""
        self._again_at = math.inf

    def follows(self, champion: int | None) -> bool:
        """Whether ``champion`` is the one that was last loaded, or that would not load."""
        return champion == self._tried and time.monotonic() < self._again_at

    def follow(self, connection: Connection, champion: int | None) -> None:
        """Make ``champion`` the model that scores; keep the one before when it will not load."""
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
    ) -> tuple[Model | None, scoring.Scores]:
        """Scores, and who gave them: the model or, while that is set aside, the champion before it, or nobody."""
        model = self.model
        assert model is not None, "there is nobody to ask"
        if self._breaker.lets_through():
            scores = scoring.score(model, gathered, min_quality)
            if not scores.unanswered:
                if np.isfinite(scores.confidence).any() and self._breaker.answered():
                    logger.warning("model %(model)s answers again", event("model_recovered", model=model.version))
                    self.error = None
                return model, scores
            if not self._breaker.failed(proven=fails_golden_rows(model)):
                return model, scores
            self.error = f"model {model.version} does not answer: {scores.error[scores.failed[0]]}"
            logger.error(
                "%(error)s; set aside for a while", event("model_set_aside", model=model.version, error=self.error)
            )
        if self._standby is None and model.id == self._tried:
            self._standby = self._fetch_standby(connection)
        if self._standby is None:
            return None, scoring.without_model(len(gathered), scoring.FAILED)
        return self._standby, scoring.score(self._standby, gathered, min_quality)

    def _fetch_standby(self, connection: Connection) -> Model | None:
        """The champion before this one; None when there is none that loads."""
        row = connection.execute(query("previous_champion"), {"champion": self._tried}).fetchone()
        if row is None:
            return None
        try:
            return fetch(connection, row[0])
        except InvalidModel as error:
            logger.error("%(error)s; no model stands by", event("standby_refused", error=str(error)))  # noqa: TRY400  # the message says it all
            return None


def fetch(connection: Connection, model_id: int) -> Model:
    """Read, try elsewhere, load here, replay the golden rows. Raises InvalidModel, or HostFault, whatever is wrong."""
    row = connection.execute(query("model_file"), {"id": model_id}).fetchone()
    if row is None:
        raise InvalidModel(f"model {model_id} is not in the registry")
    version, data, sha256, golden = row[0], bytes(row[1]), row[2], None if row[3] is None else bytes(row[3])
    try:
        require_trial(version, data, golden)
        model = load(model_id, version, data, sha256, golden)
        parity = verify(model)
        if parity is None:
            # No row is to be in hand at the first run.
            try_plain_rows(model)
    except OSError as error:
        raise HostFault(f"model {version} cannot be tried on this host: {first_line(error)}") from error
    except Exception as error:
        if isinstance(error, InvalidModel):
            raise
        raise InvalidModel(f"model {version} does not load: {first_line(error)}") from error
    if parity is not None:
        # For the gates of ml.promote, which can run no model.
        connection.execute(
            query("record_parity_once"),
            {
                "version": version,
                "max_abs_diff": parity.max_abs_diff,
                "tolerance": PARITY_TOLERANCE,
                "rows": parity.rows,
                "runtime": f"worker {__version__}, onnxruntime {ort.__version__}, {platform.machine()}",
            },
        )
    logger.info(
        "model %(model)s loaded: %(features)d features, golden rows off by %(golden_rows_off_by).3g",
        event(
            "model_loaded",
            model=version,
            features=model.feature_count,
            golden_rows_off_by=parity.max_abs_diff if parity else math.nan,
        ),
    )
    return model


def fails_golden_rows(model: Model) -> bool:
    """Whether the model fails rows that it has answered before: then it is the model, and not the rows."""
    try:
        verify(model)
    except InvalidModel:
        return True
    return False
