"""``score --json``: scores of patterns in JSON lines, without a worker and without writing; a standby will do."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import psycopg

from db_functions.database import Connection
from db_functions.errors import UnknownModel
from db_functions.gather import Gatherer, Pattern, pattern_rows
from db_functions.model import Model
from db_functions.queries import fetch_all, fetch_row, fetch_value, fetch_values
from db_functions.sessions import begin_reading
from worker.serving import scoring
from worker.serving.batch import BatchSettings
from worker.serving.champion import fetch
from worker.serving.questions import describe

_PAGE = 256


def answer_lines(
    connection: Connection, lines: Iterable[str], version: str | None = None
) -> Iterator[Mapping[str, Any]]:
    """An answer for each line that is not blank, of the champion or the model ``version``.

    A line that holds no pattern is answered with its ``error``, and the ``field`` where there is one. Raises
    UnknownModel and InvalidModel.
    """
    model = _load(connection, version)
    gatherer = Gatherer()
    rest = (line for line in lines if line.strip())
    while page := list(islice(rest, _PAGE)):
        with connection.transaction():
            begin_reading(connection)
            read = _read(connection, page)
            patterns = [one for one in read if isinstance(one, Pattern)]
            answers = iter(_ask(connection, gatherer, model, patterns))
        yield from (next(answers) if isinstance(one, Pattern) else one for one in read)


def _load(connection: Connection, version: str | None) -> Model | None:
    if version is None:
        champion = fetch_row(connection, "batch_settings", BatchSettings).champion
        return None if champion is None else fetch(connection, champion, record=False)
    model_id = fetch_value(connection, "model_id", {"version": version})
    if model_id is None:
        raise UnknownModel(f"no model {version} is registered; `python -m training list` names them")
    return fetch(connection, model_id, record=False)


def _read(connection: Connection, page: Sequence[str]) -> list[Pattern | dict[str, Any]]:
    """The patterns of the lines; what is wrong in the place of one that holds none."""
    try:
        with connection.transaction():
            return [*fetch_all(connection, "read_patterns", pattern_rows, {"patterns": page})]
    except (psycopg.DataError, psycopg.IntegrityError, psycopg.errors.StatementTooComplex) as error:
        if len(page) == 1:
            field = error.diag.column_name
            return [{"error": error.diag.message_primary or str(error), **({"field": field} if field else {})}]
    return [one for line in page for one in _read(connection, [line])]


def _ask(
    connection: Connection, gatherer: Gatherer, model: Model | None, patterns: Sequence[Pattern]
) -> Sequence[Mapping[str, Any]]:
    if not patterns:
        return []
    if model is None:
        return _decide(connection, describe(patterns, None, None, scoring.without_model(len(patterns))))
    settings = fetch_row(connection, "batch_settings", BatchSettings)
    gathered = gatherer.gather(
        connection, patterns, benchmark=settings.benchmark, history_lag_us=settings.history_lag_us
    )
    answers = scoring.score(model, gathered, settings.min_quality)
    return _decide(connection, describe(patterns, gathered, model, answers))


def _decide(connection: Connection, scores: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return fetch_values(connection, "decide_scores", {"scores": json.dumps(scores)})
