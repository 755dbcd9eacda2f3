"""Questions of applications: what would this pattern score? Answered between batches; nothing is inserted or logged.

``ml.ask`` puts questions into ``ml_internal.questions`` and rings. A kind of question is an entry of :data:`KINDS`
here, and a line of ``ml.ask``. Rows go first: a turn answers a bounded number, and while rows wait, turns take half of
the time at most.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import psycopg
from psycopg import Cursor
from psycopg.rows import no_result

from db_functions.database import Connection
from db_functions.errors import first_line, translated
from db_functions.gather import Gathered, Pattern
from db_functions.model import Model
from db_functions.queries import columns_of, fetch_all, query
from worker.log import event
from worker.serving import scoring
from worker.serving.batch import BatchSettings
from worker.serving.engine import Engine
from worker.serving.scoring import ModelAnswers
from worker.serving.surface_answers import SurfaceAnswers

logger = logging.getLogger(__name__)

AT_ONCE = 64
"""Patterns in a turn at most."""

Answer = Mapping[str, Any]


class Question(NamedTuple):
    """A pattern that is asked about; ``options`` is what the question holds beside it."""

    kind: str
    options: Mapping[str, Any]
    pattern: Pattern


@dataclass(frozen=True, slots=True)
class Kind:
    """How one kind of question is answered, and how many of it in a turn.

    ``answer`` gives one JSON object a question, in their order; ``reason`` in it is what is counted. Its last argument
    is None, or the error for which they cannot be answered, which the answers then say.
    """

    answer: Callable[[Engine, BatchSettings, Sequence[Question], str | None], Sequence[Answer]]
    at_once: int


def answer_scores(
    engine: Engine, settings: BatchSettings, questions: Sequence[Question], error: str | None
) -> Sequence[Answer]:
    """What the champion makes of the patterns, as it would of rows."""
    patterns = [question.pattern for question in questions]
    if error is not None:
        answers = scoring.without_model(len(patterns), scoring.FAILED)
        answers.error = [error] * len(patterns)
        return describe(patterns, None, None, answers)
    if engine.model is None:
        return describe(patterns, None, None, scoring.without_model(len(patterns)))
    gathered = engine.gatherer.gather(
        engine.connection, patterns, benchmark=settings.benchmark, history_lag_us=settings.history_lag_us
    )
    model, answers = engine.champion.consult(engine.connection, gathered, settings.min_quality)
    return describe(patterns, gathered, model, answers)


KINDS: Mapping[str, Kind] = {"score": Kind(answer_scores, AT_ONCE), "surface": Kind(SurfaceAnswers().answer, 1)}


def describe(
    patterns: Sequence[Pattern], gathered: Gathered | None, model: Model | None, answers: ModelAnswers
) -> list[Answer]:
    """What a model made of patterns, for ``ml_internal.decide_score``."""
    scored = [math.isfinite(value) for value in answers.confidence]
    return [
        {
            "rule_confidence": pattern.rule_confidence,
            "detected_at_us": pattern.detected_at_us,
            "reason": scoring.FAILED if answers.error[i] is not None else answers.reason[i],
            "ml_confidence": float(answers.confidence[i]) if scored[i] else None,
            "probabilities": answers.probabilities[i].tolist() if scored[i] else None,
            "quality": float(answers.quality[i]),
            "bars": int(gathered.bars_seen[i]) if gathered else 0,
            "model_version": model.version if model else None,
            "error": (answers.error[i] or "").replace("\0", "") or None,
        }
        for i, pattern in enumerate(patterns)
    ]


class Questions:
    """Answers what waits, one turn a call."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        """How often to look when nothing rings."""
        self._looked_at = -math.inf
        self._took_s = 0.0
        self._alone: list[Question] = []
        """Those to be answered one by one: together they failed."""
        self.pending = False
        """Whether more may wait."""

    def answer(self, engine: Engine, *, rows_wait: bool) -> None:
        """Take a turn, if any question may wait and rows are not kept waiting by it."""
        now = time.monotonic()
        since_s = now - self._looked_at
        if not (self.pending or since_s >= self._every_s) or (rows_wait and since_s < 2 * self._took_s):
            return
        self._looked_at = now
        self.pending = self._turn(engine)
        self._took_s = time.monotonic() - now

    def _turn(self, engine: Engine) -> bool:
        """Answer some questions, outside a transaction: no lock is held; returns whether more may wait."""
        with translated():
            settings, questions = _claim(engine.connection, nothing=bool(self._alone))
        if self._alone:
            questions = [self._alone.pop()]
        if not questions:
            return False
        if not engine.champion.follows(settings.champion):
            engine.refresh_model()
        try:
            _answer(engine, settings, questions)
        except Exception as error:
            # Whatever it is, rows must not wait for it.
            if engine.connection.closed or isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
                raise
            logger.warning(
                "%(count)d questions cannot be answered: %(error)s",
                event("questions_failed", count=len(questions), error=first_line(error)),
            )
            if len(questions) > 1:
                self._alone = questions
            else:
                _answer(engine, settings, questions, first_line(error))
        return bool(self._alone) or len(questions) == KINDS[questions[0].kind].at_once


def _answer(engine: Engine, settings: BatchSettings, questions: Sequence[Question], error: str | None = None) -> None:
    """Answer questions of one kind."""
    answers = KINDS[questions[0].kind].answer(engine, settings, questions, error)
    parameters = {
        "ids": [question.pattern.id for question in questions],
        "answers": [json.dumps(answer, separators=(",", ":")) for answer in answers],
    }
    engine.connection.execute(query("write_answers"), parameters)


def _claim(connection: Connection, *, nothing: bool) -> tuple[BatchSettings, list[Question]]:
    """The settings, and questions of one kind, or none."""
    most = {} if nothing else {name: kind.at_once for name, kind in KINDS.items()}
    found = fetch_all(connection, "claim_questions", _claimed, {"most": json.dumps(most)})
    return found[0][0], [question for _, question in found if question is not None]


def _claimed(cursor: Cursor[Any]) -> Callable[[Sequence[Any]], tuple[BatchSettings, Question | None]]:
    """The row factory of ``claim_questions``."""
    if not cursor.description:
        return no_result
    names = [column.name for column in cursor.description]
    kind, options = names.index("kind"), names.index("options")
    settings_of, pattern_of = columns_of(cursor, BatchSettings), columns_of(cursor, Pattern)

    def make(values: Sequence[Any]) -> tuple[BatchSettings, Question | None]:
        settings = settings_of(values)
        if values[kind] is None:
            return settings, None
        return settings, Question(values[kind], values[options], pattern_of(values))

    return make
