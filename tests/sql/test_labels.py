"""Labels: the set-based SQL against a slow and obvious reference, analysts' labels, and the daily counts."""

from __future__ import annotations

import math
import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from db_functions.database import Connection
from db_functions.queries import query
from tests.conftest import ROOT
from tests.sql_support import refused_with
from tests.support import at, insert_bars, insert_pattern, random_bars, row_of
from tests.worker_support import count

pytestmark = pytest.mark.compat


@dataclass(frozen=True)
class Bar:
    ts: datetime
    open: float
    high: float
    low: float
    close: float


@dataclass(frozen=True)
class Pattern:
    detected_at: datetime
    direction: int
    entry: float | None
    target: float | None
    stop: float | None


@dataclass(frozen=True)
class Outcome:
    label: str
    at: datetime
    pnl: float
    favorable: float
    adverse: float
    bars: int


def mean_true_range(bars: Sequence[Bar]) -> float | None:
    """Of the last 14 bars; each needs the close before it."""
    if len(bars) < 15:
        return None
    ranges = []
    for before, bar in zip(bars[-15:-1], bars[-14:], strict=True):
        ranges.append(max(bar.high - bar.low, abs(bar.high - before.close), abs(bar.low - before.close)))
    return sum(ranges) / 14


def finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def reference(pattern: Pattern, bars: Sequence[Bar], horizon: int) -> Outcome | None:
    """The outcome of a pattern over all bars of its series, or None when it is not to be labelled."""
    past = [bar for bar in bars if bar.ts <= pattern.detected_at]
    future = [bar for bar in bars if bar.ts > pattern.detected_at][:horizon]
    bullish = pattern.direction == 1
    side = 1 if bullish else -1
    entry, target, stop = finite(pattern.entry), finite(pattern.target), finite(pattern.stop)
    if entry is None and past:
        entry = past[-1].close
    if pattern.direction == 0 or len(future) < horizon or entry is None or entry <= 0:
        return None
    atr = mean_true_range(past)
    if target is None and atr is not None:
        target = entry + side * 2 * atr
    if stop is None and atr is not None:
        stop = entry - side * 2 * atr
    if target is None or stop is None or not (stop < entry < target if bullish else target < entry < stop):
        return None

    seen: list[Bar] = []
    label, price = "neutral", future[-1].close
    for bar in future:
        seen.append(bar)
        if (bar.low <= stop) if bullish else (bar.high >= stop):
            label, price = "negative", stop
            break
        if (bar.high >= target) if bullish else (bar.low <= target):
            label, price = "positive", target
            break
    up = max(0.0, max(bar.high for bar in seen) - entry)
    down = max(0.0, entry - min(bar.low for bar in seen))
    return Outcome(
        label,
        seen[-1].ts,
        side * (price - entry) / entry,
        (up if bullish else down) / entry,
        (down if bullish else up) / entry,
        len(seen),
    )


def stored(connection: Connection, pattern: str) -> Outcome | None:
    row = row_of(connection, pattern)
    if row["outcome_label"] is None:
        assert row["labeled_at"] is row["labeling_method"] is row["outcome_at"] is row["realized_pnl"] is None
        return None
    assert row["labeling_method"] == "automatic"
    return Outcome(
        row["outcome_label"],
        row["outcome_at"],
        row["realized_pnl"],
        row["max_favorable_move"],
        row["max_adverse_move"],
        row["bars_to_outcome"],
    )


def same(found: Outcome | None, expected: Outcome | None) -> bool:
    if found is None or expected is None:
        return found is expected
    numbers = [(getattr(found, name), getattr(expected, name)) for name in ("pnl", "favorable", "adverse")]
    return (found.label, found.at, found.bars) == (expected.label, expected.at, expected.bars) and all(
        math.isclose(a, b, rel_tol=1e-12, abs_tol=1e-15) for a, b in numbers
    )


def label(connection: Connection, max_rows: int | None = None) -> int:
    found = connection.execute("select ml.label_outcomes(%s)", [max_rows]).fetchone()
    assert found is not None
    return int(found[0])


def put_bars(connection: Connection, bars: Sequence[Bar], symbol: str = "ACME") -> None:
    with connection.cursor().copy("copy price_bars (symbol, timeframe, ts, open, high, low, close) from stdin") as copy:
        for bar in bars:
            copy.write_row((symbol, "1d", bar.ts, bar.open, bar.high, bar.low, bar.close))


def put_pattern(connection: Connection, pattern: Pattern, symbol: str = "ACME") -> str:
    return insert_pattern(
        connection,
        symbol=symbol,
        detected_at=pattern.detected_at,
        direction=pattern.direction,
        entry=pattern.entry,
        target=pattern.target,
        stoploss=pattern.stop,
    )


# Coarse prices, so that ties and exact touches are common.
half = st.integers(196, 206).map(lambda n: n / 2)
absent = st.sampled_from([None, math.nan, math.inf, -math.inf])
# In half points from the entry, on the level's own side; zero and below are no level at all.
reach = st.one_of(st.integers(1, 6), st.integers(1, 6), st.integers(-1, 12), absent)


@st.composite
def a_pattern(draw: st.DrawFn) -> Pattern:
    direction, entry = draw(st.sampled_from([1, 1, 1, -1, -1, -1, 0])), draw(half)

    def level(side: int) -> float | None:
        steps = draw(reach)
        return entry + side * steps / 2 if isinstance(steps, int) else steps

    return Pattern(
        at(draw(st.integers(0, 40))) + timedelta(hours=draw(st.sampled_from([0, 0, 12]))),
        direction,
        draw(st.one_of(st.just(entry), st.just(entry), absent)),
        level(direction or 1),
        level(-direction or -1),
    )


@st.composite
def bars_in_time(draw: st.DrawFn) -> list[Bar]:
    """Up to 40 bars on a coarse grid of prices, with gaps in time."""
    moment, bars = at(0), []
    for _ in range(draw(st.integers(0, 40))):
        opened, closed, above, below = draw(half), draw(half), draw(st.integers(0, 3)), draw(st.integers(0, 3))
        bars.append(Bar(moment, opened, max(opened, closed) + above / 2, min(opened, closed) - below / 2, closed))
        moment += timedelta(days=draw(st.sampled_from([1, 1, 1, 3, 40])))
    return bars


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    bars=bars_in_time(),
    patterns=st.lists(a_pattern(), min_size=1, max_size=8),
    horizon=st.integers(1, 12),
)
def test_labels_equal_the_reference(
    transaction: Connection, bars: list[Bar], patterns: list[Pattern], horizon: int
) -> None:
    with transaction.transaction(force_rollback=True):
        transaction.execute("select ml.set('label_horizon', %s, 'test')", [horizon])
        put_bars(transaction, bars)
        ids = [put_pattern(transaction, pattern) for pattern in patterns]
        expected = [reference(pattern, bars, horizon) for pattern in patterns]
        assert label(transaction) == sum(outcome is not None for outcome in expected)
        for pattern, identifier, outcome in zip(patterns, ids, expected, strict=True):
            found = stored(transaction, identifier)
            assert same(found, outcome), (pattern, found, outcome)
        assert_counts_agree(transaction)


def test_labels_equal_the_reference_on_a_random_walk(transaction: Connection) -> None:
    """Realistic prices, and proof that the comparison meets every kind of outcome."""
    walk = random_bars(400, seed=3)
    bars = [Bar(at(day), *map(float, bar[:4])) for day, bar in enumerate(walk)]
    put_bars(transaction, bars)
    patterns = []
    for day in range(5, 398, 2):
        close, direction = bars[day].close, 1 if day % 4 == 1 else -1
        shape = day % 3
        patterns.append(
            Pattern(
                at(day),
                direction,
                close if shape else None,
                close * (1 + direction * 0.04) if shape < 2 else None,
                close * (1 - direction * 0.03) if shape != 1 else None,
            )
        )
    ids = [put_pattern(transaction, pattern) for pattern in patterns]
    label(transaction)
    kinds: Counter[tuple[str | None, int]] = Counter()
    for pattern, identifier in zip(patterns, ids, strict=True):
        found = stored(transaction, identifier)
        assert same(found, reference(pattern, bars, 20))
        kinds[found.label if found else None, pattern.direction] += 1
    for kind in ("positive", "negative", "neutral", None):
        for direction in (1, -1):
            assert kinds[kind, direction] > 0, (kind, direction, kinds)
    assert_counts_agree(transaction)


# What is decided how, in the small


def flat(count: int, price: float = 100.0, first: int = 0) -> list[Bar]:
    return [Bar(at(day), price, price + 1, price - 1, price) for day in range(first, first + count)]


@pytest.fixture
def few(transaction: Connection) -> Connection:
    """A horizon of three bars."""
    transaction.execute("select ml.set('label_horizon', 3, 'test')")
    return transaction


def test_a_bar_that_touches_both_is_negative(few: Connection) -> None:
    put_bars(few, [*flat(1), Bar(at(1), 100, 120, 80, 110), *flat(2, first=2)])
    bullish = put_pattern(few, Pattern(at(0), 1, 100, 110, 90))
    bearish = put_pattern(few, Pattern(at(0), -1, 100, 90, 110))
    assert label(few) == 2
    assert stored(few, bullish) == Outcome("negative", at(1), -0.1, 0.2, 0.2, 1)
    assert stored(few, bearish) == Outcome("negative", at(1), -0.1, 0.2, 0.2, 1)


def test_the_bar_of_detection_decides_nothing(few: Connection) -> None:
    put_bars(few, [Bar(at(0), 100, 150, 50, 100), *flat(3, first=1)])
    pattern = put_pattern(few, Pattern(at(0), 1, 100, 110, 90))
    assert label(few) == 1
    assert stored(few, pattern) == Outcome("neutral", at(3), 0.0, 0.01, 0.01, 3)


def test_an_incomplete_horizon_waits(few: Connection) -> None:
    # Decided on its first bar, but the horizon is not over: labels must not depend on when they were made.
    put_bars(few, [*flat(1), Bar(at(1), 100, 120, 99, 110), *flat(1, first=2)])
    pattern = put_pattern(few, Pattern(at(0), 1, 100, 110, 90))
    assert label(few) == 0
    put_bars(few, flat(1, first=3))
    assert label(few) == 1
    assert stored(few, pattern) == Outcome("positive", at(1), 0.1, 0.2, 0.01, 1)
    assert label(few) == 0


@pytest.mark.parametrize(
    "pattern",
    [
        Pattern(at(0), 0, 100, 110, 90),
        Pattern(at(0), 1, 100, 95, 90),
        Pattern(at(0), 1, 100, 100, 90),
        Pattern(at(0), -1, 100, 110, 120),
        Pattern(at(0), 1, 100, 110, 105),
        Pattern(at(0), 1, -100, 110, -120),
        Pattern(at(0), 1, 0, 110, -10),
        Pattern(at(0), 1, 100, None, 90),  # no 14 true ranges
        Pattern(at(0), 1, 100, 110, math.nan),
        Pattern(at(-1), 1, None, 110, 90),  # no bar to enter at
    ],
)
def test_what_is_not_labelled(few: Connection, pattern: Pattern) -> None:
    put_bars(few, flat(5))
    identifier = put_pattern(few, pattern)
    assert label(few) == 0
    assert stored(few, identifier) is None


def test_levels_of_its_own_need_no_earlier_bar(few: Connection) -> None:
    put_bars(few, flat(3))
    pattern = put_pattern(few, Pattern(at(-1), 1, 100, 101, 90))
    assert label(few) == 1
    assert stored(few, pattern) == Outcome("positive", at(0), 0.01, 0.01, 0.01, 1)


def test_absurd_numbers_stop_nobody_elses_labels(few: Connection) -> None:
    """Each alone would overflow somewhere; the good row beside them is labelled all the same."""
    put_bars(few, flat(20))
    huge = [Bar(at(day), 0, 1.7e308, -1.7e308, 1.7e308) for day in range(20)]
    put_bars(few, huge, symbol="HUGE")
    for symbol in ("ACME", "HUGE"):
        for entry in (1.7e308, 1e-308, 5e-324, 1e-50, 1e99, None):
            for target in (1.7e308, -1.7e308, 1e99, None):
                for direction in (1, -1):
                    put_pattern(few, Pattern(at(15), direction, entry, target, None), symbol)
                    put_pattern(few, Pattern(at(15), direction, entry, target, -1.7e308), symbol)
    good = put_pattern(few, Pattern(at(15), 1, 100, 101, 90))
    label(few)
    outcome = stored(few, good)
    assert outcome is not None
    assert outcome.label == "positive"


def test_max_rows(few: Connection) -> None:
    put_bars(few, flat(10))
    for _ in range(5):
        put_pattern(few, Pattern(at(2), 1, 100, 110, 90))
    put_pattern(few, Pattern(at(9), 1, 100, 110, 90))
    assert [label(few, 2) for _ in range(4)] == [2, 2, 1, 0]
    assert label(few, 0) == 0


def test_the_method_is_not_the_callers_to_forge(few: Connection) -> None:
    put_bars(few, flat(10))
    pattern = put_pattern(few, Pattern(at(2), 1, 100, 110, 90))
    for method in ("analyst", "anything", None):
        refused_with(few, "23514", "select ml.label_outcomes(null, %s)", [method])
    few.execute("select ml.label_outcomes(null, 'backfill')")
    assert row_of(few, pattern)["labeling_method"] == "backfill"


def test_a_second_run_at_the_same_time_does_nothing(database: str, connection: Connection) -> None:
    insert_bars(connection)
    insert_pattern(connection)
    with psycopg.connect(database) as first, psycopg.connect(database) as second:
        assert label(first) == 1
        assert label(second) == 0
        first.commit()
        second.commit()
    assert label(connection) == 0


# Analysts


def analyst(connection: Connection, pattern: str, outcome: str | None, reason: str = "seen") -> None:
    connection.execute("select ml.label(%s, %s, %s)", [pattern, outcome, reason])


def test_an_analysts_label_stands_and_may_be_taken_back(few: Connection) -> None:
    put_bars(few, flat(10))
    pattern = put_pattern(few, Pattern(at(2), 1, 100, 110, 90))
    automatic = Outcome("neutral", at(5), 0.0, 0.01, 0.01, 3)
    assert label(few) == 1
    assert stored(few, pattern) == automatic

    analyst(few, pattern, "positive", "a bad tick")
    row = row_of(few, pattern)
    assert (row["outcome_label"], row["labeling_method"]) == ("positive", "analyst")
    # What was measured on the bars stays.
    assert (row["outcome_at"], row["max_adverse_move"], row["bars_to_outcome"]) == (at(5), 0.01, 3)
    assert label(few) == 0
    assert row_of(few, pattern) == row

    analyst(few, pattern, None, "my mistake")
    assert stored(few, pattern) is None
    assert label(few) == 1
    assert stored(few, pattern) == automatic
    history = few.execute(
        "select old_label, new_label, reason, labeled_by = session_user from ml.label_history "
        "where pattern_id = %s order by id",
        [pattern],
    ).fetchall()
    assert history == [("neutral", "positive", "a bad tick", True), ("positive", None, "my mistake", True)]


def test_automatic_labelling_does_not_overwrite_even_by_its_own_writer(few: Connection) -> None:
    """A run that had chosen its rows before the analyst came writes none of them."""
    pattern = insert_pattern(few)
    analyst(few, pattern, "negative")
    found = few.execute(
        "select ml_internal.write_labels(array[%s]::uuid[], '{positive}', array[now()], '{0}', '{0}', '{0}', '{1}', "
        "'automatic')",
        [pattern],
    ).fetchone()
    assert found == (0,)
    assert row_of(few, pattern)["outcome_label"] == "negative"
    assert_counts_agree(few)


def test_a_label_before_any_bar_is_known_from_now_on(few: Connection) -> None:
    pattern = insert_pattern(few)
    analyst(few, pattern, "positive")
    found = few.execute("select outcome_at between now() and clock_timestamp() from pattern_events").fetchone()
    assert found == (True,)


@pytest.mark.parametrize(
    ("outcome", "reason", "sqlstate", "message"),
    [
        ("good", "seen", "23514", "allowed: positive, negative, neutral, or null"),
        ("positive", "", "23514", "a label needs a reason"),
        ("positive", None, "23514", "a label needs a reason"),
    ],
)
def test_a_label_that_is_refused(
    transaction: Connection, outcome: str, reason: str | None, sqlstate: str, message: str
) -> None:
    pattern = insert_pattern(transaction)
    assert message in refused_with(transaction, sqlstate, "select ml.label(%s, %s, %s)", [pattern, outcome, reason])
    assert transaction.execute("select count(*) from ml.label_history").fetchone() == (0,)


def test_a_label_for_nobody(transaction: Connection) -> None:
    message = refused_with(transaction, "P0002", "select ml.label(gen_random_uuid(), 'positive', 'seen')")
    assert message.startswith("there is no pattern ")


# The daily counts


def assert_counts_agree(connection: Connection) -> None:
    recount = connection.execute(
        "select pattern_type, (outcome_at at time zone 'UTC')::date, "
        "count(*) filter (where outcome_label = 'positive'), count(*) "
        "from pattern_events where outcome_label is not null group by 1, 2 order by 1, 2"
    ).fetchall()
    counted = connection.execute(
        "select pattern_type, day, positives, total from ml_internal.outcome_days "
        "where positives <> 0 or total <> 0 order by 1, 2"
    ).fetchall()
    assert counted == recount


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("label"), st.integers(0, 5), st.sampled_from(["positive", "negative", "neutral", None])),
            st.tuples(st.just("automatic"), st.integers(0, 3), st.none()),
            st.tuples(st.just("type"), st.integers(0, 5), st.sampled_from(["flag", "double_bottom"])),
            st.tuples(st.just("delete"), st.integers(0, 6), st.none()),
            st.tuples(st.just("zone"), st.just(0), st.sampled_from(["Asia/Tokyo", "America/New_York", "UTC"])),
        ),
        max_size=15,
    )
)
def test_the_daily_counts_always_equal_a_recount(transaction: Connection, steps: list[tuple[Any, ...]]) -> None:
    with transaction.transaction(force_rollback=True):
        transaction.execute("select ml.set('label_horizon', 2, 'test')")
        put_bars(transaction, [Bar(at(d), 100, 100 + d % 4, 100 - d % 3, 100) for d in range(8)])
        ids = [
            put_pattern(
                transaction, Pattern(at(n % 3), 1 if n % 2 else -1, 100, 102 if n % 2 else 98, 99 if n % 2 else 101)
            )
            for n in range(6)
        ]
        gone = list[str]()
        for step, n, value in steps:
            if step == "label":
                if ids[n] not in gone:
                    analyst(transaction, ids[n], value)
            elif step == "automatic":
                label(transaction, n)
            elif step == "delete":
                gone = ids[: max(n, len(gone))]
                transaction.execute("delete from pattern_events where id = any (%s)", [gone])
            elif step == "zone":
                transaction.execute("select set_config('timezone', %s, true)", [value])
            else:
                transaction.execute("update pattern_events set pattern_type = %s where id = %s", [value, ids[n]])
            assert_counts_agree(transaction)


def test_truncated_patterns_are_not_counted(transaction: Connection) -> None:
    transaction.execute("select ml.set('label_horizon', 1, 'test')")
    put_bars(transaction, [Bar(at(1), 100, 111, 100, 100)])
    put_pattern(transaction, Pattern(at(0), 1, 100, 110, 90))
    assert label(transaction) == 1
    transaction.execute("truncate pattern_events cascade")
    assert_counts_agree(transaction)


def test_counts_are_by_the_day_of_utc(transaction: Connection) -> None:
    transaction.execute("set local timezone = 'Pacific/Auckland'")
    transaction.execute("select ml.set('label_horizon', 1, 'test')")
    late = datetime(2024, 3, 1, 23, 59, tzinfo=UTC)
    put_bars(transaction, [Bar(late, 100, 111, 100, 100)])
    put_pattern(transaction, Pattern(late - timedelta(days=1), 1, 100, 110, 90))
    assert label(transaction) == 1
    assert transaction.execute("select day::text, positives, total from ml_internal.outcome_days").fetchall() == [
        ("2024-03-01", 1, 1)
    ]


def test_labels_of_people_and_of_the_machine_do_not_lose_counts(database: str, connection: Connection) -> None:
    """A person labels while a run of the machine is about to commit: the second waits and sees the first."""
    insert_bars(connection)
    patterns = [insert_pattern(connection) for _ in range(3)]
    with psycopg.connect(database) as machine:
        assert label(machine) == 3
        with psycopg.connect(database, autocommit=True) as person:
            person.execute("set lock_timeout = '100ms'")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                analyst(person, patterns[0], "positive")
            machine.commit()
            analyst(person, patterns[0], "positive")
    assert_counts_agree(connection)


def test_a_pattern_that_an_application_has_locked_keeps_no_other_from_its_label(
    database: str, connection: Connection
) -> None:
    insert_bars(connection)
    patterns = [insert_pattern(connection) for _ in range(5)]
    due = query("label_due")
    connection.execute("set lock_timeout = '1s'")
    with psycopg.connect(database) as application:
        application.execute("update pattern_events set status = 'confirmed' where id = %s", [patterns[2]])
        assert connection.execute(due, {"max_rows": 5}).fetchone() == (4,)
        assert row_of(connection, patterns[2], "outcome_label") == {"outcome_label": None}
        application.commit()
    assert connection.execute(due, {"max_rows": 5}).fetchone() == (1,), "it asks again without waiting for its time"
    assert_counts_agree(connection)


# Performance, by what is read


def reads(connection: Connection) -> tuple[int, int, int]:
    """Sequential scans, index scans and rows fetched by index on price_bars in this transaction."""
    found = connection.execute(
        "select seq_scan, idx_scan, idx_tup_fetch from pg_stat_xact_user_tables where relname = 'price_bars'"
    ).fetchone()
    assert found is not None
    return found


def test_ten_thousand_candidates_read_their_own_bars_by_index(transaction: Connection) -> None:
    transaction.execute("select ml.set('label_horizon', 10, 'test')")

    def candidates(count: int) -> None:
        transaction.execute(
            "insert into pattern_events (symbol, timeframe, pattern_type, detected_at, direction, entry) "
            "select 'S' || n %% 50, '1d', 'x', %s + (20 + n %% 300) * interval '1 day', 1, 100 "
            "from generate_series(1, %s) n",
            [at(0), count],
        )

    def series(first: int, last: int) -> None:
        transaction.execute(
            "insert into price_bars select 'S' || s, '1d', %s + d * interval '1 day', 100, 101, 99, 100, 1 "
            "from generate_series(%s::integer, %s) s, generate_series(0, 400) d",
            [at(0), first, last],
        )

    # Runs over tiny tables, often enough for a session to settle on one plan for all times.
    transaction.execute("insert into price_bars values ('S0', '1d', %s, 100, 101, 99, 100, 1)", [at(0)])
    candidates(10)
    transaction.execute("analyze price_bars, pattern_events")
    for _ in range(10):
        assert label(transaction) == 0
    series(1, 49)
    transaction.execute("delete from pattern_events")
    candidates(10_000)
    before = reads(transaction)
    assert label(transaction) == 9_800
    scanned, searched, fetched = (now - then for now, then in zip(reads(transaction), before, strict=True))
    assert scanned == 0
    # One search for the true ranges, one for the horizon, none for the entry, which is given.
    assert searched <= 2 * 10_000
    # The last of the horizon is known to be the last by looking at one more.
    assert fetched <= 10_000 * (15 + 10 + 1)


def test_labelling_reads_what_is_open_where_the_documented_index_is(connection: Connection) -> None:
    insert_bars(connection)
    connection.execute(
        "insert into pattern_events (symbol, timeframe, pattern_type, detected_at, entry, stoploss, target) "
        "select 'ACME', '1d', 'flag', %s, 100, 95, 110 from generate_series(1, 3000)",
        [at(100)],
    )
    connection.execute("select ml.label_outcomes()")
    documented = re.search(
        r"^create index concurrently .*?;$", (ROOT / "docs/operators.md").read_text(), re.MULTILINE | re.DOTALL
    )
    assert documented
    connection.execute(documented[0].encode())
    insert_pattern(connection, detected_at=at(101))
    connection.execute("vacuum analyze pattern_events")
    assert connection.execute("select ml.label_outcomes()").fetchone() == (1,)
    connection.execute("select pg_stat_force_next_flush()")
    row = connection.execute(
        "select idx_scan > 0 from pg_stat_user_indexes where indexrelname = 'pattern_events_unlabelled'"
    ).fetchone()
    assert row == (True,)


@pytest.mark.slow
def test_labels_of_many_rows_take_as_long_as_they_are_many(connection: Connection) -> None:
    """With little memory, as for a million rows with the usual one: what is looked up may not be read again a row."""
    connection.execute("set work_mem = '64kB'")
    connection.execute("alter table pattern_events disable trigger ml_enqueue")
    connection.execute(
        "insert into pattern_events (symbol, timeframe, pattern_type, direction, detected_at, confidence) "
        "select 'ACME', '1d', 'flag', 1, timestamptz '2024-01-01' + n * interval '1 minute', 0.5 "
        "from generate_series(1, 18000) n"
    )
    connection.execute("vacuum analyze pattern_events")

    def seconds(first: int, last: int) -> float:
        began = time.perf_counter()
        connection.execute(
            "select ml_internal.write_labels(array_agg(id), array_agg('positive'::text), array_agg(detected_at), "
            "array_agg(0.1::float8), array_agg(0.1::float8), array_agg(0.1::float8), array_agg(1), 'automatic') "
            "from (select * from pattern_events order by detected_at offset %s limit %s) p",
            [first, last - first],
        )
        return time.perf_counter() - began

    few, many = seconds(0, 2_000), seconds(2_000, 18_000)
    assert count(connection, "pattern_events where outcome_label = 'positive'") == 18_000
    assert many < 20 * few, "eight times as many"
