"""Waiting for a score: by the id that ``returning id`` gives, in SQL, in Python, in a coroutine."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Iterator
from datetime import timedelta

import psycopg
import pytest

from db_functions.database import Connection
from db_functions.waiting import wait_for_score, wait_for_score_async
from tests.support import insert_bars, make_champion
from tests.worker_support import SLOW, working

pytestmark = pytest.mark.compat
INSERT = (
    "insert into pattern_events (symbol, timeframe, pattern_type, detected_at, entry, stoploss, target, confidence) "
    "values ('ACME', '1d', 'flag', '2024-05-30', 100, 95, 110, 0.7) returning id"
)


def insert(connection: Connection) -> uuid.UUID:
    row = connection.execute(INSERT).fetchone()
    assert row is not None
    assert isinstance(row[0], uuid.UUID)
    return row[0]


@pytest.fixture
def application(connection: Connection, database: str) -> Iterator[Connection]:
    insert_bars(connection)
    make_champion(connection, "small-1")
    with psycopg.connect(database, autocommit=True) as application:
        application.execute("set role ml_app")
        yield application


def test_it_answers_as_soon_as_the_row_is_scored(application: Connection, database: str) -> None:
    with working(database, SLOW):
        wait_for_score(application, insert(application), 20)  # the first waits for the model, too
        for _ in range(20):
            began = time.monotonic()
            score = wait_for_score(application, insert(application), 20)
            assert time.monotonic() - began < 2
            assert (score.reason, score.source, score.model_version) == ("scored", "blend", "small-1")
            assert score.confidence == score.ml_confidence
            assert score.waited < timedelta(seconds=2)


def test_it_answers_pending_at_the_time_limit_and_at_once_with_none(application: Connection) -> None:
    pattern = insert(application)
    began = time.monotonic()
    score = wait_for_score(application, str(pattern), 0.2)
    assert 0.2 <= time.monotonic() - began < 2
    assert (score.reason, score.source, score.confidence, score.ml_confidence) == ("pending", "rule", 0.7, None)
    assert wait_for_score(application, pattern, 0).reason == "pending"


def test_a_coroutine_waits_without_holding_up_others(application: Connection, database: str) -> None:
    async def both() -> tuple[str, int]:
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0.01)

        task = asyncio.create_task(others())
        async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
            score = await wait_for_score_async(connection, insert(application), 0.3)
        task.cancel()
        return score.reason, turns

    reason, turns = asyncio.run(both())
    assert reason == "pending"
    assert turns > 5


@pytest.mark.parametrize(
    ("before", "state", "said"),
    [
        ("begin", "25000", "written by this very transaction"),
        ("begin isolation level repeatable read", "25000", "repeatable read"),
    ],
)
def test_a_transaction_that_could_not_see_the_score_is_told(
    application: Connection, before: str, state: str, said: str
) -> None:
    application.execute(before.encode())
    with pytest.raises(psycopg.errors.InvalidTransactionState, match=said) as caught:
        wait_for_score(application, insert(application), 1)
    assert caught.value.sqlstate == state


def test_bad_input_is_named(application: Connection) -> None:
    with pytest.raises(psycopg.errors.NoDataFound, match="that ml_app may see"):
        wait_for_score(application, uuid.uuid4(), 1)
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="timeout of 0 or more"):
        wait_for_score(application, uuid.uuid4(), -1)


def test_rows_that_the_callers_policies_hide_are_not_there(connection: Connection, application: Connection) -> None:
    pattern = insert(application)
    connection.execute("alter table pattern_events enable row level security")
    with pytest.raises(psycopg.errors.NoDataFound):
        wait_for_score(application, pattern, 0)
