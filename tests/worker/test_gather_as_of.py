"""No look-ahead: nothing that becomes known after a pattern's time changes what a model is given, or its score."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from db_functions.database import Connection
from db_functions.gather import Gathered, Gatherer, Pattern
from db_functions.model import Model, load
from tests.support import at, insert_bars, insert_pattern, random_bars, small_model
from tests.worker.test_gather import label
from tests.worker_support import patterns
from worker.serving.scoring import score

US = timedelta(microseconds=1)
DAY = timedelta(days=1)
LAG_US = 86_400_000_000
DETECTED = at(150) + timedelta(hours=7)
LAST_KNOWN = (DETECTED - DAY).replace(hour=0, minute=0, second=0, microsecond=0)
"""The beginning of the UTC day of detection, less the lag: outcomes at or after it are not known."""


@pytest.fixture(scope="module")
def model() -> Model:
    import hashlib

    data = small_model("as-of")
    return load(1, "as-of", data, hashlib.sha256(data).hexdigest())


class Market:
    """Two series of 300 bars, a few known outcomes, and one pattern in the middle, seen again and again."""

    def __init__(self, connection: Connection, model: Model) -> None:
        self.connection = connection
        self._model = model
        insert_bars(connection, random_bars(300, 1))
        insert_bars(connection, random_bars(300, 2), symbol="INDEX")
        self.resolved = [insert_pattern(connection, detected_at=at(50)) for _ in range(12)]
        for k, pattern in enumerate(self.resolved[:6]):
            label(connection, pattern, ("positive", "negative")[k % 2], at(60 + k))
        self._pattern: list[Pattern] = patterns(connection, [insert_pattern(connection, detected_at=DETECTED)])
        self._kept = Gatherer(history_ttl_s=0)

    def seen(self) -> dict[str, bytes]:
        """Every input and output, to the bit, gathered afresh; a gatherer that keeps series must agree."""
        fresh, kept = (self._all(gatherer) for gatherer in (Gatherer(), self._kept))
        assert fresh == kept, "what is kept between batches differs from what is read afresh"
        return fresh

    def _all(self, gatherer: Gatherer) -> dict[str, bytes]:
        result: Gathered = gatherer.gather(self.connection, self._pattern, benchmark="INDEX", history_lag_us=LAG_US)
        scores = score(self._model, result, 0.0)
        assert np.isfinite(scores.confidence).all()
        everything: dict[str, Any] = {**result.inputs, "score": scores.confidence, "features": scores.features}
        return {
            name: b"".join(str(v).encode() for v in values) if values.dtype == object else values.tobytes()
            for name, values in everything.items()
        }


@pytest.fixture
def market(transaction: Connection, model: Model) -> Market:
    return Market(transaction, model)


def _insert(connection: Connection, symbol: str, ts: datetime, price: float) -> None:
    connection.execute(
        "insert into price_bars values (%s, '1d', %s, %s, %s, %s, %s, 5) on conflict do nothing",
        [symbol, ts, price, price, price, price],
    )


def _scale(connection: Connection, symbol: str, first: datetime, last: datetime, factor: float) -> None:
    connection.execute(
        "update price_bars set open = open * %(f)s, high = high * %(f)s, low = low * %(f)s, close = close * %(f)s, "
        "volume = volume + 1 where symbol = %(symbol)s and ts between %(first)s and %(last)s",
        {"f": factor, "symbol": symbol, "first": first, "last": last},
    )


def _delete(connection: Connection, symbol: str, first: datetime, last: datetime) -> None:
    connection.execute("delete from price_bars where symbol = %s and ts between %s and %s", [symbol, first, last])


def _later_change(market: Market, rng: np.random.Generator) -> str:
    """One random change of what comes after the pattern; returns what it was."""
    symbol = str(rng.choice(["ACME", "INDEX"]))
    first = DETECTED + US * int(rng.choice([1, 2, 3_600_000_000, 86_400_000_000 * int(rng.integers(1, 150))]))
    last = first + DAY * int(rng.integers(0, 20))
    match kind := str(rng.choice(["insert", "update", "delete", "outcome", "flip"])):
        case "insert":
            _insert(market.connection, symbol, first, float(rng.uniform(1, 1_000)))
        case "update":
            _scale(market.connection, symbol, first, last, float(rng.uniform(0.5, 2)))
        case "delete":
            _delete(market.connection, symbol, first, last)
        case "outcome":
            moment = LAST_KNOWN + US * int(rng.choice([0, 1, LAG_US - 1, LAG_US, LAG_US * int(rng.integers(1, 90))]))
            label(market.connection, str(rng.choice(market.resolved[6:])), "positive", moment)
        case "flip":
            # A pattern that ends only later is labelled, then labelled otherwise.
            pattern = insert_pattern(market.connection, detected_at=at(149))
            label(market.connection, pattern, "positive", LAST_KNOWN)
            market.connection.execute("select ml.label(%s, 'negative', 'looked again')", [pattern])
    return f"{kind} {symbol} {first} to {last}"


@pytest.mark.parametrize("seed", range(2))
def test_what_comes_later_changes_nothing(market: Market, seed: int) -> None:
    rng = np.random.default_rng(seed)
    before = market.seen()
    for _ in range(30):
        change = _later_change(market, rng)
        after = market.seen()
        changed = [name for name in before if before[name] != after[name]]
        assert not changed, f"{change} changed {changed}"


FIRST, NEWEST = at(150 - 127), at(150)


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        (lambda c: _scale(c, "ACME", NEWEST, NEWEST, 1.001), {"bars", "score"}),
        (lambda c: _scale(c, "ACME", FIRST, FIRST, 1.001), {"bars", "score"}),
        (lambda c: _scale(c, "ACME", at(90), at(90), 1.001), {"bars", "score"}),
        (lambda c: _insert(c, "ACME", DETECTED, 90), {"bars", "market_bars", "score"}),
        (lambda c: _insert(c, "ACME", DETECTED - US, 90), {"bars", "market_bars", "score"}),
        (lambda c: _delete(c, "ACME", at(100), at(100)), {"bars", "market_bars", "score"}),
        (lambda c: _scale(c, "INDEX", NEWEST, NEWEST, 1.001), {"market_bars"}),
        (lambda c: _scale(c, "INDEX", FIRST, FIRST, 1.001), {"market_bars"}),
        (lambda c: _delete(c, "INDEX", at(100), at(102)), {"market_bars"}),
        (lambda c: _scale(c, "ACME", at(0), FIRST - US, 1.5), set[str]()),
        (lambda c: _scale(c, "INDEX", at(0), FIRST - US, 1.5), set[str]()),
    ],
)
def test_what_lies_in_the_window_counts(market: Market, what: Callable[[Connection], None], expected: set[str]) -> None:
    """So that the test above can fail: the same kinds of change, earlier, do change inputs and score."""
    before = market.seen()
    what(market.connection)
    after = market.seen()
    assert {name for name in before if before[name] != after[name]} == expected


def test_outcomes_known_by_then_count(market: Market) -> None:
    before = market.seen()
    label(market.connection, market.resolved[6], "positive", LAST_KNOWN)
    assert market.seen() == before
    label(market.connection, market.resolved[7], "positive", LAST_KNOWN - US)
    after = market.seen()
    assert {name for name in before if before[name] != after[name]} == {"history", "features", "score"}


def test_the_last_known_moment_is_in_utc() -> None:
    assert datetime(2024, 5, 30, tzinfo=UTC) == LAST_KNOWN
