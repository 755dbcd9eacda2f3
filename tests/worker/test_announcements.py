"""The channel ml_scored: who is told of which rows, and when."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from db_functions.database import Connection
from tests.support import insert_bars, insert_pattern, make_champion, row_of
from tests.worker_support import count, patterns, poison_model
from worker.serving.engine import Engine

pytestmark = pytest.mark.compat


@pytest.fixture
def listening(database: str) -> Iterator[Connection]:
    with psycopg.connect(database, autocommit=True) as connected:
        connected.execute("listen ml_scored")
        yield connected


def heard(listening: Connection, connection: Connection) -> list[str]:
    """All that was told before now: notifications come in the order of commits, so one of our own ends them."""
    connection.execute("notify ml_scored, 'end'")
    told = (notification.payload for notification in listening.notifies(timeout=20))
    return list(iter(lambda: next(told), "end"))


def announce(connection: Connection) -> None:
    connection.execute("select ml.set('announce', 'on', 'test')")


def test_nobody_is_told_unless_asked_for(connection: Connection, listening: Connection) -> None:
    insert_pattern(connection)
    assert Engine(connection).score_queue().done == 1
    assert heard(listening, connection) == []


def test_scores_fallbacks_and_dead_letters_are_announced_and_backfill_is_not(
    connection: Connection, listening: Connection
) -> None:
    insert_bars(connection)
    make_champion(connection, "poison", poison_model("poison"))
    announce(connection)
    engine = Engine(connection)
    scored, fell_back = insert_pattern(connection), insert_pattern(connection, symbol="NOBODY")
    poison = insert_pattern(connection, confidence=0.111)
    assert engine.score_queue().done == 3
    assert sorted(",".join(heard(listening, connection)).split(",")) == sorted([scored, fell_back, poison])
    assert row_of(connection, poison, "ml_metadata")["ml_metadata"]["reason"] == "failed"
    engine.score_rows(patterns(connection), rescore=True)
    assert heard(listening, connection) == []


def test_rows_that_somebody_else_has_locked_stay_in_the_queue_and_are_told_of_later(
    connection: Connection, listening: Connection, database: str
) -> None:
    insert_bars(connection)
    make_champion(connection, "poison", poison_model("poison"))
    announce(connection)
    engine = Engine(connection)
    scored, good = insert_pattern(connection), insert_pattern(connection)
    failed, poison = (insert_pattern(connection, confidence=0.111) for _ in range(2))
    with psycopg.connect(database) as application:
        application.execute("select from pattern_events where id in (%s, %s) for update", [good, poison])
        assert engine.score_queue().done == 2
        assert sorted(",".join(heard(listening, connection)).split(",")) == sorted([scored, failed])
        assert engine.score_queue().done == 0
        assert heard(listening, connection) == []
    assert (count(connection, "ml.failures"), count(connection, "ml.predictions")) == (1, 1)
    assert (engine.counters.scored, engine.counters.failed, engine.counters.fallbacks) == (1, 1, 1)
    assert engine.score_queue().done == 2
    assert sorted(",".join(heard(listening, connection)).split(",")) == sorted([good, poison])
    counted = connection.execute(
        "select sum(scored + below_threshold), sum(failed) from ml_internal.metric_counts where grain = 'day'"
    )
    assert counted.fetchall() == [(2, 2)]


def test_a_large_batch_is_told_in_parts_that_fit(connection: Connection, listening: Connection) -> None:
    announce(connection)
    connection.execute(
        "insert into pattern_events (symbol, timeframe, pattern_type, detected_at) "
        "select 'ACME', '1d', 'flag', '2024-05-01' from generate_series(1, 450)"
    )
    assert Engine(connection).score_queue(1000).done == 450
    parts = heard(listening, connection)
    assert [len(part.split(",")) for part in parts] == [200, 200, 50]
    assert len({pattern for part in parts for pattern in part.split(",")}) == 450
