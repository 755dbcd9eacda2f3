"""``call ml.surface``: a worker answers for a question or a row; rows of it, rights, bad input."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg.types.json import Jsonb

from db_functions.database import Connection
from db_functions.queries import query
from tests.support import at, insert_bars, insert_pattern, make_champion, random_bars, register, row_of, wait_until
from tests.worker_support import SLOW, count, working
from worker.operating import first_passage

PATTERN = {"symbol": "ACME", "timeframe": "1d", "pattern_type": "flag", "detected_at": at(299).isoformat()}


@pytest.fixture
def close(connection: Connection) -> float:
    """The last close; first passage is champion."""
    bars = random_bars(300, seed=5)
    insert_bars(connection, bars)
    first_passage.promote(connection, first_passage.register(connection))
    return float(bars[-1, 3])


@pytest.fixture
def application(close: float, connection: Connection, database: str) -> Iterator[Connection]:
    with psycopg.connect(database, autocommit=True) as application:
        application.execute("set role ml_app")
        yield application


def surface(application: Connection, question: Any, *levels: Any) -> dict[str, Any]:
    targets, stops = levels or (None, None)
    row = application.execute(
        "call ml.surface(%s, %s::double precision[], %s::double precision[], timeout => '30 s')",
        [Jsonb(question), targets, stops],
    ).fetchone()
    assert row is not None
    answer: dict[str, Any] = row[0]
    return answer


def test_a_row_and_a_question_have_one_surface(
    application: Connection, connection: Connection, database: str, close: float
) -> None:
    drawn = {"entry": close, "target": 1.05 * close, "stoploss": 0.97 * close, "direction": 1}
    pattern = insert_pattern(connection, detected_at=at(299), **drawn)
    targets, stops = [1.02 * close, 1.05 * close], [0.99 * close, 0.97 * close, 0.9 * close]
    with working(database, SLOW):
        wait_until(lambda: row_of(connection, pattern, "scored_at")["scored_at"] is not None, "it is scored")
        before = count(connection, "ml.predictions"), count(connection, "pattern_events")
        by_id = surface(application, {"id": pattern}, targets, stops)
        asked = surface(application, PATTERN | drawn, targets, stops)
        choice = surface(application, PATTERN | drawn)
        connection.execute("select ml.set('cost_bps', 20, 'a test')")
        costly = surface(application, PATTERN | drawn, targets, stops)
        lower = surface(application, {"id": pattern, "stoploss": 0.9 * close}, targets, stops)
    assert by_id == asked
    assert lower["drawn"]["p_stop"] < asked["drawn"]["p_stop"]
    score = row_of(connection, pattern, "ml_confidence")["ml_confidence"]
    assert by_id["p_target"][1][1] == pytest.approx(score, abs=1e-6)
    assert by_id["drawn"]["p_target"] == by_id["p_target"][1][1]
    assert (by_id["reason"], by_id["verdict"], by_id["best"]) == ("answered", "none surely better", None)
    assert np.abs(by_id["expected_value"]).max() == 0
    assert np.array(choice["p_stop"]).shape == (32, 32)
    assert costly["expected_value"][0] == pytest.approx(-0.002 / -np.log([0.99, 0.97, 0.9]), rel=1e-4)
    rows = application.execute("select * from ml.surface_rows(%s)", [Jsonb(by_id)]).fetchall()
    assert [row[:2] for row in rows] == [(target, stop) for target in targets for stop in stops]
    assert [row[2] for row in rows] == [p for line in by_id["p_target"] for p in line]
    assert {row[6] for row in rows} == {False}
    assert (count(connection, "ml.predictions"), count(connection, "pattern_events")) == before
    assert count(connection, "ml_internal.question_counts where kind = 'surface' and patterns = 5") == 1


@pytest.mark.parametrize(
    ("change", "levels", "field"),
    [
        ({}, ([1.0, -2.0], [1.0]), "targets"),
        ({}, ([1.0], [float("nan")]), "stops"),
        ({}, ([1.0] * 65, [1.0]), "targets"),
        ({}, ([], [1.0]), "targets"),
        ({"stops": "low"}, (), "stops"),
        ({"targets": [None]}, (), "targets"),
        ({"symbol": 5}, (), "symbol"),
    ],
)
def test_bad_levels_are_refused_by_name(
    application: Connection, change: dict[str, Any], levels: tuple[Any, ...], field: str
) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue) as refused:
        surface(application, PATTERN | change, *levels)
    assert refused.value.diag.column_name == field


def test_a_row_that_its_asker_may_not_see_is_not_asked_about(application: Connection, connection: Connection) -> None:
    pattern = insert_pattern(connection, detected_at=at(299))
    with pytest.raises(psycopg.errors.NoDataFound):
        surface(application, {"id": str(uuid.uuid4())})
    connection.execute("revoke all on pattern_events from public, ml_app")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        surface(application, {"id": pattern})


BETTER = {"value": -0.01, "low": -0.014, "high": -0.006}


@pytest.mark.parametrize(
    ("metrics", "proven"),
    [
        ({"evidence": {"brier_minus_first_passage": BETTER}, "candidates": {"kept": "ridge"}}, True),
        ({"evidence": {"brier_minus_first_passage": BETTER}}, True),
        ({"evidence": {"brier_minus_first_passage": BETTER}, "candidates": {"kept": "recalibrated"}}, False),
        ({"evidence": {"brier_minus_first_passage": BETTER | {"high": -0.001}}}, False),
        ({"evidence": {"brier_minus_first_passage": {"value": 0.01, "low": 0.0, "high": 0.003}}}, False),
        ({"evidence": {"brier_minus_first_passage": {"value": None, "low": None, "high": "low"}}}, False),
        ({"evidence": []}, False),
        ({}, False),
    ],
)
def test_a_correction_is_proven_by_evidence(transaction: Connection, metrics: dict[str, Any], proven: bool) -> None:
    register(transaction, "tried", metrics=metrics)
    (model,) = transaction.execute("select id from ml.models where version = 'tried'").fetchone() or ()
    found = transaction.execute(query("surface_trust"), {"model": model}).fetchone()
    assert found is not None
    assert found[0] is proven


def test_reasons_are_those_of_rows(application: Connection, connection: Connection, database: str) -> None:
    with working(database, SLOW):
        assert surface(application, PATTERN | {"symbol": "NONE", "direction": 1})["reason"] == "insufficient_bars"
        assert surface(application, PATTERN)["reason"] == "low_quality"
        connection.execute("select ml.disable('a test')")
        assert surface(application, PATTERN | {"direction": -1})["reason"] == "answered"
        make_champion(connection, "small-1")  # the one before answers until it is loaded

        def refused() -> bool:
            blind = surface(application, PATTERN | {"direction": -1})
            return (blind["reason"], blind["model_version"]) == ("failed", "small-1")

        wait_until(refused, "a model that reads no levels is refused")
