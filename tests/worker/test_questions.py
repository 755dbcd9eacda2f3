"""Questions: what a pattern would score, without inserting it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from db_functions.asking import Answer, score
from db_functions.database import Connection
from tests.support import at, insert_bars, insert_pattern, make_champion, random_bars, row_of, wait_until
from tests.worker_support import SLOW, count, working

PATTERN: dict[str, Any] = {
    "symbol": "ACME",
    "timeframe": "1d",
    "pattern_type": "double_bottom",
    "detected_at": at(150),
    "entry": 100.0,
    "stoploss": 95.0,
    "target": 110.0,
    "confidence": 0.7,
}


@pytest.fixture
def ready(connection: Connection) -> Connection:
    insert_bars(connection)
    make_champion(connection, "small-1")
    return connection


@pytest.fixture
def application(ready: Connection, database: str) -> Iterator[Connection]:
    with psycopg.connect(database, autocommit=True) as application:
        application.execute("set role ml_app")
        yield application


def inserted(connection: Connection, given: dict[str, Any]) -> dict[str, Any]:
    """What the row of an insert says when a worker has scored it."""
    columns = {name: Jsonb(value) if isinstance(value, dict) else value for name, value in given.items()}
    pattern = insert_pattern(connection, **columns)
    wait_until(lambda: row_of(connection, pattern, "ml_metadata")["ml_metadata"]["reason"] != "pending", "a score")
    return row_of(connection, pattern)


def as_row(answer: Answer) -> dict[str, Any]:
    names = ("confidence", "rule_confidence", "blended_confidence", "ml_confidence", "prediction_class")
    kept = ("reason", "source", "quality", "settings_version", "ml_weight", "rule_weight", "threshold")
    return {name: getattr(answer, name) for name in (*names, "model_version", "probabilities", *kept)}


def of_row(row: dict[str, Any]) -> dict[str, Any]:
    names = ("confidence", "rule_confidence", "blended_confidence", "ml_confidence", "prediction_class")
    kept = ("reason", "source", "quality", "settings_version", "ml_weight", "rule_weight", "threshold")
    metadata = row["ml_metadata"]
    return {
        **{name: row[name] for name in (*names, "model_version")},
        "probabilities": metadata.get("probabilities"),
        **{name: metadata.get(name) for name in kept},
    }


CASES: list[dict[str, Any]] = [
    {},
    {"rule_confidence": 0.2},
    {"confidence": None},
    {"target": 90.0, "stoploss": 105.0},
    {"target": math.nan, "entry": math.inf},
    {"target": None, "entry": None, "verdict": "bearish"},
    {"symbol": "NONE"},
    {"detected_at": at(2)},
    {"started_at": at(140), "support": 94.9, "metadata": {"market": {"vix": "17.5", "news_sentiment": None}}},
]


def test_a_question_gets_what_an_insert_would(application: Connection, ready: Connection, database: str) -> None:
    insert_bars(ready, random_bars(50, seed=3), symbol="OTHER")
    cases = [{**PATTERN, **case} for case in [*CASES, {"symbol": "OTHER", "detected_at": at(30)}]]
    with working(database, SLOW):
        answers = score(application, cases)
        before = count(ready, "ml.predictions"), count(ready, "pattern_events"), count(ready, "ml_internal.batches")
        rows = [inserted(ready, case) for case in cases]
        alone = [score(application, [case])[0] for case in cases]
    assert before == (0, 0, 0)
    assert [as_row(answer) for answer in answers] == [of_row(row) for row in rows]
    assert alone == answers
    assert {answer.reason for answer in answers} == {"scored", "insufficient_bars"}
    counted = ready.execute("select jsonb_object_agg(reason, patterns) from ml_internal.question_counts").fetchone()
    assert counted == ({"scored": 2 * (len(cases) - 2), "insufficient_bars": 4},)
    assert count(ready, "ml_internal.questions") == 0
