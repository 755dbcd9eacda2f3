"""What applications may send, what is made of it, and what is refused and how it is said."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from bench.inserts import muted
from db_functions.database import Connection
from tests.support import DOORBELL, at, insert_pattern, listen_to_doorbell, row_of

pytestmark = pytest.mark.compat

PENDING = {"source": "rule", "reason": "pending"}
SYSTEM_VALUES: dict[str, Any] = {
    "blended_confidence": 0.9,
    "ml_confidence": 0.9,
    "prediction_class": "positive",
    "model_version": "forged",
    "scored_at": at(1),
    "prediction_latency_ms": 1.0,
    "ml_metadata": json.dumps({"source": "blend", "reason": "scored", "forged": True}),
    "outcome_label": "positive",
    "outcome_at": at(2),
    "realized_pnl": 9.0,
    "max_favorable_move": 9.0,
    "max_adverse_move": 9.0,
    "bars_to_outcome": 9,
    "labeled_at": at(3),
    "labeling_method": "analyst",
}
BAR: dict[str, Any] = {
    "symbol": "ACME",
    "timeframe": "1d",
    "ts": at(0),
    "open": 10.0,
    "high": 12.0,
    "low": 9.0,
    "close": 11.0,
    "volume": 5.0,
}


def queued(connection: Connection) -> list[str]:
    """Pattern ids in the queue, in the order of their queue ids."""
    return [str(row[0]) for row in connection.execute("select pattern_id from ml.queue order by id")]


def insert_bar(connection: Connection, **columns: Any) -> None:
    bar = {**BAR, **columns}
    connection.execute(
        f"insert into price_bars ({', '.join(bar)}) values ({', '.join(f'%({name})s' for name in bar)})", bar
    )


def refused(connection: Connection, attempt: Callable[[], object]) -> psycopg.errors.Diagnostic:
    """The diagnostics of the check violation that ``attempt`` raises; the transaction goes on."""
    with pytest.raises(psycopg.errors.CheckViolation) as caught, connection.transaction():
        attempt()
    return caught.value.diag


# What is made of a row


def test_an_old_client_sends_confidence_alone(transaction: Connection) -> None:
    pattern = insert_pattern(transaction, confidence=0.7)
    row = row_of(transaction, pattern)
    assert (row["confidence"], row["rule_confidence"], row["ml_metadata"]) == (0.7, 0.7, PENDING)
    assert row["ml_confidence"] is row["blended_confidence"] is row["scored_at"] is None
    assert queued(transaction) == [pattern]


def test_a_rule_confidence_wins_over_the_confidence_beside_it(transaction: Connection) -> None:
    row = row_of(transaction, insert_pattern(transaction, confidence=0.2, rule_confidence=0.9))
    assert (row["confidence"], row["rule_confidence"]) == (0.9, 0.9)


def test_no_confidence_at_all(transaction: Connection) -> None:
    row = row_of(transaction, insert_pattern(transaction, confidence=None))
    assert (row["confidence"], row["rule_confidence"], row["ml_metadata"]) == (None, None, PENDING)


@pytest.mark.parametrize("confidence", [0.0, 1.0])
def test_the_ends_of_the_range_are_allowed(transaction: Connection, confidence: float) -> None:
    assert row_of(transaction, insert_pattern(transaction, confidence=confidence))["confidence"] == confidence


def test_detected_at_is_now_when_absent_or_null(transaction: Connection) -> None:
    found = transaction.execute(
        "insert into pattern_events (symbol, timeframe, pattern_type) values ('A', '1d', 'x') "
        "returning detected_at = now()"
    ).fetchone()
    assert found == (True,)
    row = row_of(transaction, insert_pattern(transaction, detected_at=None), "detected_at = now() as now")
    assert row["now"] is True


@pytest.mark.parametrize(
    ("columns", "direction"),
    [
        ({"entry": 100, "target": 110}, 1),
        ({"entry": 100, "target": 90}, -1),
        ({"entry": 100, "target": 100}, 0),
        ({"entry": 100, "target": 100, "verdict": "bearish"}, -1),
        ({"entry": None, "target": 110, "verdict": "bearish"}, -1),
        ({"entry": None, "target": 110}, 0),
        ({"entry": 100, "target": math.nan}, 0),
        ({"entry": math.nan, "target": 100, "verdict": "bullish"}, 1),
        ({"entry": 100, "target": math.inf, "verdict": "bearish"}, -1),
        ({"entry": -math.inf, "target": 100}, 0),
        ({"entry": 100, "target": 110, "verdict": "bearish"}, 1),
        ({"entry": None, "target": None, "verdict": "neutral"}, 0),
        ({"entry": 100, "target": 110, "direction": -1}, -1),
        ({"entry": 100, "target": 110, "direction": 0}, 0),
        # Their difference is more than a double can hold.
        ({"entry": -1.7e308, "target": 1.7e308}, 1),
        ({"entry": 1.7e308, "target": -1.7e308}, -1),
    ],
)
def test_direction(transaction: Connection, columns: dict[str, Any], direction: int) -> None:
    assert row_of(transaction, insert_pattern(transaction, **columns))["direction"] == direction


@pytest.mark.parametrize(
    "columns",
    [
        {"pattern_type": "never heard of", "timeframe": "7 parsecs"},
        {"pattern_type": "", "timeframe": "", "symbol": ""},
        {"entry": None, "target": None, "stoploss": None, "support": None, "resistance": None},
        {"entry": math.nan, "target": math.inf, "stoploss": -math.inf, "support": math.nan, "resistance": math.nan},
        {"metadata": '{"market": {"vix": "NaN", "news_sentiment": "Infinity", "sector_performance": {}}}'},
        {"metadata": "[1, 2]"},
        {"metadata": '"text"'},
        {"metadata": "null"},
        {"metadata": None},
        {"metadata": "17"},
        {"started_at": "infinity"},
        {"started_at": "-infinity"},
    ],
)
def test_odd_rows_are_taken(transaction: Connection, columns: dict[str, Any]) -> None:
    pattern = insert_pattern(transaction, **columns)
    assert row_of(transaction, pattern, "confidence")["confidence"] == 0.7
    assert queued(transaction) == [pattern]


# What is refused


@pytest.mark.parametrize("column", ["confidence", "rule_confidence"])
@pytest.mark.parametrize("value", [-0.001, 1.001, 85.0, math.nan, math.inf, -math.inf])
def test_a_confidence_out_of_range(transaction: Connection, column: str, value: float) -> None:
    allowed = insert_pattern(transaction)
    for attempt in (
        lambda: insert_pattern(transaction, **{column: value}),
        lambda: transaction.execute(f"update pattern_events set {column} = %s where id = %s", [value, allowed]),
    ):
        diag = refused(transaction, attempt)
        assert (diag.schema_name, diag.table_name, diag.column_name) == ("public", "pattern_events", column)
        assert diag.message_primary is not None
        assert diag.message_primary.startswith(f"pattern_events.{column} is ")
        assert "allowed: 0 to 1, or null" in diag.message_primary
    assert row_of(transaction, allowed)["confidence"] == 0.7
    assert queued(transaction) == [allowed]


@pytest.mark.parametrize(
    ("column", "values", "allowed"),
    [
        ("direction", [2, -2, 300], "allowed: 1 (bullish), -1 (bearish), 0 (unknown)"),
        ("detected_at", ["infinity", "-infinity"], "allowed: a moment in time"),
    ],
)
def test_other_values_out_of_range(transaction: Connection, column: str, values: list[Any], allowed: str) -> None:
    pattern = insert_pattern(transaction)
    for value in values:
        for attempt in (
            lambda value=value: insert_pattern(transaction, **{column: value}),
            lambda value=value: transaction.execute(
                f"update pattern_events set {column} = %s where id = %s", [value, pattern]
            ),
        ):
            diag = refused(transaction, attempt)
            assert diag.column_name == column
            assert diag.message_primary == f"pattern_events.{column} is {value}; {allowed}"


def test_a_null_direction_or_as_of_time_keeps_the_old_one(transaction: Connection) -> None:
    pattern = insert_pattern(transaction, direction=-1)
    transaction.execute("update pattern_events set direction = null, detected_at = null")
    assert row_of(transaction, pattern, "direction", "detected_at") == {"direction": -1, "detected_at": at(150)}


def test_one_bad_row_in_ten_thousand_fails_the_statement(transaction: Connection) -> None:
    diag = refused(
        transaction,
        lambda: transaction.execute(
            "insert into pattern_events (symbol, timeframe, pattern_type, confidence) "
            "select 'A', '1d', 'x', case when n = 9000 then 1.5 else 0.5 end from generate_series(1, 10000) n"
        ),
    )
    assert diag.column_name == "confidence"
    assert diag.message_primary == "pattern_events.confidence is 1.5; allowed: 0 to 1, or null"
    assert transaction.execute("select count(*) from pattern_events").fetchone() == (0,)
    assert queued(transaction) == []


# Columns that are the system's


def test_system_columns_sent_on_insert_are_discarded(transaction: Connection) -> None:
    row = row_of(transaction, insert_pattern(transaction, **SYSTEM_VALUES))
    assert row.pop("ml_metadata") == PENDING
    assert {name: row[name] for name in SYSTEM_VALUES if name != "ml_metadata"} == dict.fromkeys(
        name for name in SYSTEM_VALUES if name != "ml_metadata"
    )


@pytest.mark.parametrize("forged", [*SYSTEM_VALUES, "everything at once"])
def test_system_columns_sent_on_update_are_discarded(transaction: Connection, forged: str) -> None:
    pattern = insert_pattern(transaction)
    before = row_of(transaction, pattern)
    values = {name: value for name, value in SYSTEM_VALUES.items() if forged in (name, "everything at once")}
    transaction.execute(
        f"update pattern_events set {', '.join(f'{name} = %({name})s' for name in values)} where id = %(id)s",
        {**values, "id": pattern},
    )
    assert row_of(transaction, pattern) == before


def test_metadata_is_never_null(transaction: Connection) -> None:
    pattern = insert_pattern(transaction, ml_metadata=None)
    transaction.execute("update pattern_events set ml_metadata = null")
    assert row_of(transaction, pattern)["ml_metadata"] == PENDING


# The queue


def test_each_kind_of_statement_queues_exactly_what_it_inserts(transaction: Connection) -> None:
    transaction.execute(
        "insert into pattern_events (symbol, timeframe, pattern_type) select 'S', '1d', 'x' from generate_series(1, 7)"
    )
    with transaction.cursor().copy(
        "copy pattern_events (symbol, timeframe, pattern_type, confidence, ml_confidence) from stdin"
    ) as copy:
        for _ in range(5):
            copy.write_row(("C", "1d", "x", 0.5, 0.99))
    inserted = [
        str(row[0])
        for row in transaction.execute("select pattern_id from ml.queue q join pattern_events p on p.id = q.pattern_id")
    ]
    everything = [str(row[0]) for row in transaction.execute("select id from pattern_events")]
    assert len(everything) == 12
    assert sorted(inserted) == sorted(everything) == sorted(queued(transaction))
    assert transaction.execute("select count(*) from pattern_events where ml_confidence is not null").fetchone() == (0,)
    copied = transaction.execute("select distinct confidence, rule_confidence from pattern_events where symbol = 'C'")
    assert copied.fetchall() == [(0.5, 0.5)]


def test_conflicts_queue_only_new_rows(transaction: Connection) -> None:
    there = insert_pattern(transaction, confidence=0.7)
    transaction.execute("delete from ml.queue")
    statement = (
        "insert into pattern_events (id, symbol, timeframe, pattern_type, confidence) values "
        "(%s, 'A', '1d', 'x', 0.3), (gen_random_uuid(), 'NEW', '1d', 'x', 0.4) on conflict (id) do "
    )
    transaction.execute(statement + "nothing", [there])
    assert row_of(transaction, there)["confidence"] == 0.7
    transaction.execute(statement + "update set confidence = excluded.confidence", [there])
    assert row_of(transaction, there, "confidence", "rule_confidence") == {"confidence": 0.3, "rule_confidence": 0.3}
    new = [str(row[0]) for row in transaction.execute("select id from pattern_events where symbol = 'NEW'")]
    assert len(new) == 2
    assert sorted(queued(transaction)) == sorted(new)


def test_an_upsert_may_not_carry_system_columns_in(transaction: Connection) -> None:
    there = insert_pattern(transaction)
    transaction.execute(
        "insert into pattern_events (id, symbol, timeframe, pattern_type, ml_confidence, ml_metadata) "
        "values (%s, 'A', '1d', 'x', 0.9, '{\"forged\": true}') "
        "on conflict (id) do update set ml_confidence = 0.9, ml_metadata = '{\"forged\": true}'",
        [there],
    )
    assert row_of(transaction, there, "ml_confidence", "ml_metadata") == {"ml_confidence": None, "ml_metadata": PENDING}


def test_queue_ids_ascend(transaction: Connection) -> None:
    first = insert_pattern(transaction)
    transaction.execute(
        "insert into pattern_events (symbol, timeframe, pattern_type) select 'S', '1d', 'x' from generate_series(1, 50)"
    )
    last = insert_pattern(transaction)
    ids = queued(transaction)
    assert len(ids) == 52
    assert (ids[0], ids[-1]) == (first, last)


def test_the_bench_mutes_the_bell(connection: Connection) -> None:
    """Also past the moment from which a writer takes a mute for one of a clock that was set back."""
    listen_to_doorbell(connection)
    with psycopg.connect(connection.info.dsn, autocommit=True) as other, muted(other):
        insert_pattern(connection)
    assert list(connection.notifies(timeout=0.1)) == []


def test_a_statement_that_inserts_nothing_queues_nothing_and_rings_nobody(connection: Connection) -> None:
    listen_to_doorbell(connection)
    connection.execute("insert into pattern_events (symbol, timeframe, pattern_type) select 'A', '1d', 'x' where false")
    assert queued(connection) == []
    assert list(connection.notifies(timeout=0.1)) == []
    insert_pattern(connection)
    # The control: with a row the same connection hears the bell.
    assert [notice.channel.rpartition("_")[0] for notice in connection.notifies(timeout=5, stop_after=1)] == [DOORBELL]


# Bars


@pytest.mark.parametrize(
    ("columns", "named", "allowed"),
    [
        ({"open": math.nan}, "open", "finite numbers"),
        ({"high": math.inf}, "high", "finite numbers"),
        ({"high": math.nan}, "high", "finite numbers"),
        ({"low": -math.inf}, "low", "finite numbers"),
        ({"close": math.nan}, "close", "finite numbers"),
        ({"open": -math.inf, "low": -math.inf}, "open", "finite numbers"),
        ({"open": math.nan, "high": math.nan, "low": math.nan, "close": math.nan}, "open", "finite numbers"),
        ({"volume": -1.0}, "volume", "0 or more, finite, or null"),
        ({"volume": math.nan}, "volume", "0 or more, finite, or null"),
        ({"volume": math.inf}, "volume", "0 or more, finite, or null"),
        ({"high": 10.5}, "high", "at least open 10, close 11 and low 9"),
        ({"open": 12.5}, "high", "at least open 12.5, close 11 and low 9"),
        ({"low": 10.5}, "low", "at most open 10, close 11 and high 12"),
        ({"close": 8.0}, "low", "at most open 10, close 8 and high 12"),
        ({"ts": "infinity"}, "ts", "a moment in time"),
        ({"ts": "-infinity"}, "ts", "a moment in time"),
    ],
)
def test_a_bar_that_cannot_be(transaction: Connection, columns: dict[str, Any], named: str, allowed: str) -> None:
    insert_bar(transaction)
    changes = ", ".join(f"{name} = %({name})s" for name in columns)
    for attempt in (
        lambda: insert_bar(transaction, **{"symbol": "OTHER", **columns}),
        lambda: transaction.execute(f"update price_bars set {changes}", columns),
    ):
        diag = refused(transaction, attempt)
        assert (diag.schema_name, diag.table_name, diag.column_name) == ("public", "price_bars", named)
        assert diag.message_primary is not None
        assert diag.message_primary.startswith(f"price_bars.{named} is ")
        assert f"allowed: {allowed}" in diag.message_primary
        assert "timeframe 1d" in diag.message_primary
    assert transaction.execute("select count(*) from price_bars").fetchone() == (1,)


@pytest.mark.parametrize("column", ["open", "high", "low", "close", "ts", "symbol"])
def test_a_bar_with_a_null_names_its_column(transaction: Connection, column: str) -> None:
    with pytest.raises(psycopg.errors.NotNullViolation) as caught:
        insert_bar(transaction, **{column: None})
    assert caught.value.diag.column_name == column


@pytest.mark.parametrize(
    "columns",
    [
        {"volume": None},
        {"volume": 0.0},
        {"open": 10.0, "high": 10.0, "low": 10.0, "close": 10.0},
        {"open": -3.0, "high": -1.0, "low": -4.0, "close": -2.0},
    ],
)
def test_bars_at_the_edge_are_taken(transaction: Connection, columns: dict[str, Any]) -> None:
    insert_bar(transaction, **columns)
    assert transaction.execute("select count(*) from price_bars").fetchone() == (1,)


def changes(connection: Connection) -> list[tuple[Any, ...]]:
    found = connection.execute(
        "select symbol, timeframe, since_ts from ml_internal.bar_changes order by symbol, timeframe"
    )
    rows = found.fetchall()
    connection.execute("delete from ml_internal.bar_changes")
    return rows


def test_changed_bars_are_noted_by_series_from_the_first_on(transaction: Connection) -> None:
    transaction.execute(
        "insert into price_bars select s, '1d', %s + n * interval '1 day', 1, 1, 1, 1, null "
        "from unnest(array['A', 'B']) s, generate_series(0, 9) n",
        [at(0)],
    )
    assert changes(transaction) == [("A", "1d", at(0)), ("B", "1d", at(0))]
    transaction.execute("update price_bars set close = 1 where symbol = 'A' and ts >= %s", [at(4)])
    assert changes(transaction) == [("A", "1d", at(4))]
    # A bar that moves changes the series it leaves and the one it joins, from the earlier of both times on.
    transaction.execute(
        "update price_bars set symbol = 'C', ts = ts - interval '1 day' where symbol = 'B' and ts = %s", [at(6)]
    )
    assert changes(transaction) == [("B", "1d", at(6)), ("C", "1d", at(5))]
    transaction.execute("delete from price_bars where symbol = 'A' and ts > %s", [at(7)])
    assert changes(transaction) == [("A", "1d", at(8))]
    transaction.execute("update price_bars set close = 1 where symbol = 'nothing'")
    transaction.execute("delete from price_bars where symbol = 'nothing'")
    assert changes(transaction) == []


def test_a_bar_change_carries_its_own_transaction(transaction: Connection) -> None:
    insert_bar(transaction, ts=datetime(2024, 1, 1, tzinfo=UTC))
    assert transaction.execute("select xid = pg_current_xact_id() from ml_internal.bar_changes").fetchall() == [(True,)]
