"""For applications that want a score before they insert: what would this pattern score now?

Nothing is inserted, logged or counted with the rows. See docs/applications.md, "Ask before you insert".
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import scalar_row

from db_functions.errors import InTransaction, translated
from db_functions.queries import fetch_value, query


@dataclass(frozen=True, slots=True)
class Answer:
    """What an insert would have read; fields are columns of ``pattern_events`` and keys of its ``ml_metadata``."""

    confidence: float | None
    """The one that would be served, 0 to 1; None without a rule confidence and without a score."""
    source: str
    """``blend`` or ``rule``: which of them ``confidence`` is."""
    reason: str
    rule_confidence: float | None
    blended_confidence: float | None
    ml_confidence: float | None
    prediction_class: str | None
    probabilities: Sequence[float] | None
    """Of negative, neutral, positive."""
    model_version: str | None
    quality: float
    """Share of the model's features that were present, 0 to 1."""
    bars: int
    detected_at: str
    """The as-of time, ISO 8601; no later bar was read."""
    ml_weight: float
    rule_weight: float
    threshold: float
    settings_version: int
    error: str | None
    """Why it ``failed``."""


def score(
    connection: psycopg.Connection[Any], patterns: Sequence[Mapping[str, Any]], seconds: float = 5.0
) -> list[Answer]:
    """Ask a running worker what patterns would score if they were inserted now; answers are in their order.

    A pattern's keys are columns of ``pattern_events``; at least ``symbol``, ``timeframe`` and ``pattern_type``. Up to
    1,000 at once, for up to 60 ``seconds``. ``connection`` must not be in a transaction. Raises InTransaction when it
    is, NoWorker, NoAnswer, and psycopg.DataError or psycopg.IntegrityError for a field, named in ``diag.column_name``.
    """
    if not patterns:
        return []
    return [read_answer(given) for given in ask(connection, "score", as_question(patterns), seconds)]


def surface(
    connection: psycopg.Connection[Any],
    pattern: Mapping[str, Any],
    targets: Sequence[float] | None = None,
    stops: Sequence[float] | None = None,
    seconds: float = 5.0,
) -> dict[str, Any]:
    """Ask a running worker for the surface of a pattern: up to 64 targets and 64 stops, prices, each with each.

    The answer is that of ``call ml.surface``; docs/applications.md lists its fields. Raises what :func:`score` raises.
    """
    asked = dict(pattern) | {"targets": targets, "stops": stops}
    answer: dict[str, Any] = ask(connection, "surface", as_question(asked), seconds)
    return answer


def ask(connection: psycopg.Connection[Any], kind: str, question: str, seconds: float) -> Any:
    """The answer to a question, in JSON, of ``ml.ask_and_wait``. Raises what :func:`score` raises."""
    if connection.info.transaction_status != TransactionStatus.IDLE:
        raise InTransaction
    parameters = {"kind": kind, "question": question, "seconds": seconds}
    given, connection.autocommit = connection.autocommit, True
    try:
        with translated():
            return fetch_value(connection, "ask_and_wait", parameters)
    finally:
        if not connection.closed:
            connection.autocommit = given


async def score_async(
    connection: psycopg.AsyncConnection[Any], patterns: Sequence[Mapping[str, Any]], seconds: float = 5.0
) -> list[Answer]:
    """As :func:`score`, without holding up the event loop."""
    if not patterns:
        return []
    if connection.info.transaction_status != TransactionStatus.IDLE:
        raise InTransaction
    given = connection.autocommit
    await connection.set_autocommit(True)
    try:
        with translated():
            async with connection.cursor(row_factory=scalar_row) as cursor:
                parameters = {"kind": "score", "question": as_question(patterns), "seconds": seconds}
                answers = await (await cursor.execute(query("ask_and_wait"), parameters)).fetchone() or []
    finally:
        if not connection.closed:
            await connection.set_autocommit(given)
    return [read_answer(one) for one in answers]


def read_answer(given: Mapping[str, Any]) -> Answer:
    """An answer in JSON; what a later release adds is left out."""
    return Answer(**{field.name: given[field.name] for field in fields(Answer)})


def as_question(value: Any) -> str:
    """What an insert would take, as JSON."""
    return json.dumps(_as_json(value))


def _as_json(value: Any) -> Any:
    """Moments and exact numbers as text, no number as null."""
    if isinstance(value, Mapping):
        return {name: _as_json(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value
