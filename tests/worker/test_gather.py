"""What the gatherer makes of rows, bars and outcomes, held against slow definitions."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from numpy.typing import NDArray
from psycopg.errors import CheckViolation

from db_functions.bars import BarStore, Series
from db_functions.contract import INPUTS, WINDOW
from db_functions.database import Connection
from db_functions.gather import Gathered, Gatherer, align
from tests.support import at, insert_bars, insert_pattern, random_bars
from tests.worker_support import patterns

pytestmark = pytest.mark.compat

DAY = timedelta(days=1)
US = timedelta(microseconds=1)
DAY_US = 86_400_000_000


def gathered(
    connection: Connection, ids: Sequence[str], *, benchmark: str | None = None, lag: timedelta = DAY
) -> Gathered:
    return Gatherer().gather(connection, patterns(connection, ids), benchmark=benchmark, history_lag_us=lag // US)


def insert_bars_at(
    connection: Connection, moments: Sequence[datetime], symbol: str = "ACME", seed: int = 0, timeframe: str = "1d"
) -> NDArray[np.float64]:
    bars = random_bars(len(moments) + 1, seed)[1:]
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into price_bars values (%s, %s, %s, %s, %s, %s, %s, %s)",
            [(symbol, timeframe, ts, *map(float, bar)) for ts, bar in zip(moments, bars, strict=True)],
        )
    return bars


def window(moments: Sequence[datetime], bars: NDArray[np.float64], detected_at: datetime) -> NDArray[np.float64]:
    """The 128 newest bars complete at ``detected_at``, by looking at each of them."""
    seen = [bar for ts, bar in zip(moments, bars, strict=True) if ts <= detected_at][-WINDOW:]
    empty = [[math.nan] * 5] * (WINDOW - len(seen))
    return np.array([*empty, *seen], dtype=np.float64).reshape(WINDOW, 5)


@pytest.mark.parametrize("length", [0, 1, 127, 128, 129, 300])
def test_a_window_holds_the_newest_bars_complete_at_detection(transaction: Connection, length: int) -> None:
    moments = [at(day) for day in range(length)]
    bars = insert_bars_at(transaction, moments)
    # Neither another series of the symbol nor another symbol may leak in.
    insert_bars_at(transaction, [at(day) + US for day in range(0, length, 7)], timeframe="1h", seed=8)
    insert_bars_at(transaction, [at(day) + US for day in range(0, length, 7)], symbol="ACM", seed=9)
    days = sorted({0, 1, 126, 127, 128, 129, length // 2, length - 1, length, length + 400})
    asked = [at(day) + offset for day in days for offset in (-US, timedelta(0), US, timedelta(hours=9))]
    ids = [insert_pattern(transaction, detected_at=moment) for moment in asked]
    result = gathered(transaction, ids)
    for i, moment in enumerate(asked):
        expected = window(moments, bars, moment)
        assert_array_equal(result.inputs["bars"][i], expected, err_msg=f"detected at {moment}")
        assert result.bars_seen[i] == np.isfinite(expected[:, 3]).sum()
    assert np.isnan(result.inputs["market_bars"].astype(float)).all()


def test_bars_a_microsecond_apart_are_told_apart(transaction: Connection) -> None:
    moments = [at(0) + k * US for k in range(200)]
    bars = insert_bars_at(transaction, moments)
    asked = [at(0) + k * US for k in (-1, 0, 1, 126, 127, 128, 150, 199, 200)]
    result = gathered(transaction, [insert_pattern(transaction, detected_at=moment) for moment in asked])
    for i, moment in enumerate(asked):
        assert_array_equal(result.inputs["bars"][i], window(moments, bars, moment), err_msg=str(moment))


def test_a_bar_without_volume_is_nan_there_only(transaction: Connection) -> None:
    transaction.execute("insert into price_bars values ('ACME', '1d', %s, 1, 2, 0.5, 1.5, null)", [at(0)])
    last = gathered(transaction, [insert_pattern(transaction)]).inputs["bars"][0, -1]
    assert_array_equal(last, [1, 2, 0.5, 1.5, math.nan])


def test_every_input_has_the_contracts_type_and_shape(transaction: Connection) -> None:
    insert_bars(transaction)
    ids = [insert_pattern(transaction) for _ in range(3)]
    for some in (ids, ids[:1], []):
        result = gathered(transaction, some, benchmark="ACME")
        assert set(result.inputs) == set(INPUTS)
        for name, spec in INPUTS.items():
            assert result.inputs[name].dtype == spec.dtype, name
            assert result.inputs[name].shape == (len(some), *spec.shape), name
        assert len(result.hashes()) == len(some)


def test_levels_and_rule_confidence(transaction: Connection) -> None:
    ids = [
        insert_pattern(transaction, support="NaN", resistance="Infinity", target="-Infinity", entry=5, stoploss=None),
        insert_pattern(transaction, support=1, resistance=2, target=3, entry=4, stoploss=5, direction=-1),
        insert_pattern(transaction, confidence=None, target=None, entry=None, stoploss=None),
    ]
    inputs = gathered(transaction, ids).inputs
    nan = math.nan
    assert_array_equal(inputs["levels"], [[nan, nan, nan, 5, nan], [1, 2, 3, 4, 5], [nan] * 5])
    assert_array_equal(inputs["rule_confidence"], [0.7, 0.7, nan])
    assert_array_equal(inputs["direction"], [0, -1, 0])
    assert inputs["pattern_type"].tolist() == ["double_bottom"] * 3


@pytest.mark.parametrize(
    ("started_at", "expected"),
    [
        (at(149), 86_400.0),
        (at(150) - US, 1e-6),
        (at(151), -86_400.0),
        (None, math.nan),
        ("infinity", math.nan),
        ("-infinity", math.nan),
    ],
)
def test_duration(transaction: Connection, started_at: Any, expected: float) -> None:
    ids = [insert_pattern(transaction, started_at=started_at)]
    assert_array_equal(gathered(transaction, ids).inputs["duration_s"], [expected])


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ("20.5", 20.5),
        ("-3", -3.0),
        ('"17"', 17.0),
        ('" 1e2 "', 100.0),
        ('"NaN"', math.nan),
        ('"Infinity"', math.nan),
        ('"-inf"', math.nan),
        ('"high"', math.nan),
        ('""', math.nan),
        ("true", math.nan),
        ("false", math.nan),
        ("null", math.nan),
        ("[1]", math.nan),
        ('{"a": 1}', math.nan),
        ("1e300", 1e300),
        ("1e400", math.nan),
        ("-1e400", math.nan),
        # Python refuses to read an integer of more than 4,300 digits.
        ("1e5000", math.nan),
        ("1e-400", 0.0),
        ("9007199254740993", 9007199254740992.0),
    ],
)
def test_context_values(transaction: Connection, sent: str, expected: float) -> None:
    ids = [insert_pattern(transaction, metadata=f'{{"market": {{"vix": {sent}, "news_sentiment": 0.25}}}}')]
    context = gathered(transaction, ids).inputs["context"][0]
    assert_array_equal(context, [math.nan, expected, math.nan, math.nan, 0.25, math.nan])


@pytest.mark.parametrize(
    "metadata",
    [
        None, "null", "1", '"market"', "[]", "{}", '{"market": null}', '{"market": [1, 2]}', '{"market": "vix"}',
        '{"market": true}', '{"vix": 20}', '{"market": ' + "[" * 3_000 + "]" * 3_000 + "}",
    ],
)  # fmt: skip
def test_metadata_of_any_shape_is_no_context(transaction: Connection, metadata: str | None) -> None:
    ids = [insert_pattern(transaction, metadata=metadata)]
    assert np.isnan(gathered(transaction, ids).inputs["context"].astype(float)).all()


def test_the_six_context_values_keep_their_order(transaction: Connection) -> None:
    names = ["days_since_earnings", "vix", "sector_performance", "options_activity", "news_sentiment"]
    market = {name: place for place, name in enumerate([*names, "analyst_confirmations"])} | {"other": 99}
    ids = [insert_pattern(transaction, metadata=json.dumps({"market": market}))]
    assert_array_equal(gathered(transaction, ids).inputs["context"], [[0, 1, 2, 3, 4, 5]])


@pytest.mark.parametrize(("moment", "seen"), [("294276-12-31", 128), ("4713-01-01 BC", 0)])
def test_moments_out_of_any_calendar_are_gathered(transaction: Connection, moment: str, seen: int) -> None:
    insert_bars(transaction)
    pattern = insert_pattern(transaction, detected_at=moment, started_at=moment)
    result = gathered(transaction, [pattern, insert_pattern(transaction, started_at=moment)], benchmark="ACME")
    assert result.bars_seen.tolist() == [seen, 128]
    assert np.isnan(result.inputs["duration_s"].astype(float)).all()


@pytest.mark.parametrize("ts", ["infinity", "-infinity"])
def test_a_bar_at_no_moment_is_refused(transaction: Connection, ts: str) -> None:
    """One would make every gatherer of its series fail."""
    with pytest.raises(CheckViolation, match=r"ts is -?infinity; allowed"):
        transaction.execute("insert into price_bars values ('ACME', '1d', %s, 1, 1, 1, 1, 1)", [ts])


# Alignment with the benchmark


def aligned(
    benchmark: Sequence[int], values: NDArray[np.float64], ts: Sequence[int], before: int | None
) -> NDArray[np.float64]:
    """The definition, one bar at a time."""
    rows = []
    for i, moment in enumerate(ts):
        known = [k for k, other in enumerate(benchmark) if other <= moment]
        previous = ts[i - 1] if i else (before if before is not None else moment)
        fresh = known and benchmark[known[-1]] >= previous
        rows.append(values[known[-1]] if fresh else np.full(5, np.nan))
    return np.array(rows).reshape(len(ts), 5)


moments = st.lists(st.integers(0, 60), unique=True, max_size=40).map(sorted)


@settings(max_examples=300, deadline=None)
@given(benchmark=moments, own=moments.filter(bool), predecessor=st.booleans())
def test_alignment_is_its_definition(benchmark: list[int], own: list[int], predecessor: bool) -> None:
    values = np.arange(len(benchmark) * 5, dtype=np.float64).reshape(-1, 5)
    before = None
    if predecessor and len(own) > 1:
        before, own = own[0], own[1:]
    series = Series(np.array(benchmark, dtype=np.int64), values, 0, 100)
    result = align(series, np.array(own, dtype=np.int64), before)
    assert_array_equal(result, aligned(benchmark, values, own, before))


def _us(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // US


@pytest.mark.parametrize("seed", range(4))
def test_market_bars_through_gaps_and_holidays(transaction: Connection, seed: int) -> None:
    rng = np.random.default_rng(seed)
    own = sorted(at(int(day)) for day in rng.choice(400, 260, replace=False))
    # The benchmark closes an hour earlier, trades on other days too, and halts for a while.
    days = [day for day in range(400) if rng.random() < 0.8 and not 200 < day < 215]
    index = [at(day) - timedelta(hours=1) for day in days]
    bars = insert_bars_at(transaction, own, seed=seed)
    market = insert_bars_at(transaction, index, symbol="INDEX", seed=seed + 50)
    asked = [at(int(day)) + timedelta(hours=2) for day in rng.integers(-5, 420, 25)] + [own[0], own[127], own[128]]
    ids = [insert_pattern(transaction, detected_at=moment) for moment in asked]
    result = gathered(transaction, ids, benchmark="INDEX")
    for i, moment in enumerate(asked):
        past = [_us(ts) for ts in own if ts <= moment]
        ts, before = past[-WINDOW:], past[-WINDOW - 1] if len(past) > WINDOW else None
        expected = np.full((WINDOW, 5), np.nan)
        if ts:
            expected[-len(ts) :] = aligned([_us(other) for other in index], market, ts, before)
        assert_array_equal(result.inputs["market_bars"][i], expected, err_msg=str(moment))
        assert_array_equal(result.inputs["bars"][i], window(own, bars, moment))
    assert np.isnan(result.inputs["market_bars"][:, :, 3].astype(float)).any()
    assert np.isfinite(result.inputs["market_bars"][:, :, 3].astype(float)).any()


def test_a_symbol_beside_itself_is_itself(transaction: Connection) -> None:
    insert_bars(transaction, random_bars(300))
    ids = [insert_pattern(transaction, detected_at=at(day)) for day in (3, 150, 299)]
    inputs = gathered(transaction, ids, benchmark="ACME").inputs
    assert_array_equal(inputs["market_bars"], inputs["bars"])


def test_a_benchmark_without_bars_is_nan(transaction: Connection) -> None:
    insert_bars(transaction)
    inputs = gathered(transaction, [insert_pattern(transaction)], benchmark="NOWHERE").inputs
    assert np.isnan(inputs["market_bars"].astype(float)).all()
    assert np.isfinite(inputs["bars"].astype(float)).all()


# History


def label(connection: Connection, pattern: str, outcome: str, outcome_at: datetime) -> None:
    connection.execute(
        "select ml_internal.write_labels(array[%s]::uuid[], array[%s], array[%s]::timestamptz[], "
        "array[null]::float8[], "
        "array[null]::float8[], array[null]::float8[], array[null]::integer[], 'automatic')",
        [pattern, outcome, outcome_at],
    )


@pytest.mark.parametrize("lag", [timedelta(0), DAY, timedelta(hours=36), timedelta(days=7)], ids=str)
def test_history_is_a_recount(transaction: Connection, lag: timedelta) -> None:
    transaction.execute("set time zone 'Asia/Tokyo'")
    rng = np.random.default_rng(5)
    midnight = datetime(2024, 5, 1, tzinfo=UTC)
    known: list[tuple[str, str, datetime]] = []
    edges = [midnight - days * DAY + offset for days in range(10) for offset in (-US, timedelta(0), US)]
    for k, outcome_at in enumerate([*edges, *(midnight - DAY * float(x) for x in rng.uniform(-3, 20, 60))]):
        kind = ("flag", "wedge")[k % 2]
        outcome = str(rng.choice(["positive", "negative", "neutral"]))
        label(transaction, insert_pattern(transaction, pattern_type=kind), outcome, outcome_at)
        known.append((kind, outcome, outcome_at))
    asked = [
        (kind, midnight + offset)
        for kind in ("flag", "wedge", "unheard_of")
        for offset in (-US, timedelta(0), US, timedelta(hours=23, minutes=59), -30 * DAY, 30 * DAY)
    ]
    ids = [insert_pattern(transaction, pattern_type=kind, detected_at=moment) for kind, moment in asked]
    history = gathered(transaction, ids, lag=lag).inputs["history"]
    for (kind, moment), (rate, total) in zip(asked, history, strict=True):
        # Outcomes are known by whole UTC days: a lag that is none reaches back to the day's beginning.
        end = moment.replace(hour=0, minute=0, second=0, microsecond=0) - lag
        end = end.replace(hour=0, minute=0, second=0, microsecond=0)
        seen = [outcome for other, outcome, outcome_at in known if other == kind and outcome_at < end]
        assert total == len(seen), (kind, moment)
        expected = seen.count("positive") / len(seen) if seen else math.nan
        assert_array_equal(rate, expected)
    assert len({tuple(row) for row in history.tolist() if row[1]}) >= 4, "the moments tell nothing apart"


def test_history_given_is_history_used(transaction: Connection) -> None:
    rows = patterns(transaction, [insert_pattern(transaction)])
    replayed = Gatherer().gather(
        transaction, rows, benchmark=None, history_lag_us=DAY_US, history=np.array([[0.25, 8.0]])
    )
    assert_array_equal(replayed.inputs["history"], [[0.25, 8.0]])


def test_a_label_taken_back_leaves_no_history(transaction: Connection) -> None:
    first = insert_pattern(transaction)
    label(transaction, first, "positive", at(100))
    label(transaction, insert_pattern(transaction), "negative", at(100))
    asked = [insert_pattern(transaction, detected_at=at(150))]
    assert_array_equal(gathered(transaction, asked).inputs["history"], [[0.5, 2]])
    transaction.execute("select ml.label(%s, null, 'a mistake')", [first])
    assert_array_equal(gathered(transaction, asked).inputs["history"], [[0.0, 1]])


def test_outcome_counts_are_kept_only_for_their_time(transaction: Connection) -> None:
    asked = patterns(transaction, [insert_pattern(transaction, detected_at=at(150))])
    keeping, forgetting = Gatherer(history_ttl_s=1e9), Gatherer(history_ttl_s=0)

    def totals() -> list[float]:
        return [
            float(one.gather(transaction, asked, benchmark=None, history_lag_us=DAY_US).inputs["history"][0, 1])
            for one in (keeping, forgetting)
        ]

    assert totals() == [0, 0]
    label(transaction, insert_pattern(transaction), "positive", at(100))
    assert totals() == [0, 1]
    keeping.forget()
    assert totals() == [1, 1]


def test_hashes_differ_where_inputs_do(transaction: Connection) -> None:
    insert_bars(transaction)
    plain = [insert_pattern(transaction) for _ in range(2)]
    others = [
        insert_pattern(transaction, **change)
        for change in (
            {"pattern_type": "flag"},
            {"timeframe": "1h"},
            {"confidence": 0.71},
            {"detected_at": at(149)},
            {"support": 90.0},
            {"direction": -1},
            {"started_at": at(100)},
            {"metadata": '{"market": {"vix": 20}}'},
        )
    ]
    same, twin, *rest = gathered(transaction, [*plain, *others]).hashes()
    assert same == twin
    assert len({same, *rest}) == len(others) + 1
    assert len(same) == 16
    store = BarStore()
    assert Gatherer(store).gather(
        transaction, patterns(transaction, plain[:1]), benchmark=None, history_lag_us=DAY_US
    ).hashes() == [same]
