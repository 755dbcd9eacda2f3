"""The demo's data: sound bars, and an application that knows no future."""

from __future__ import annotations

import itertools
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Final

import numpy as np
import pytest
import talib
from bokeh_sampledata import stocks

from demo import market
from demo.application import Pattern, find_all_patterns, find_patterns
from demo.market import BENCHMARK, CLOSE, HIGH, LOW, OPEN, SYMBOLS, VOLUME, Series
from demo.patterns import PATTERN_TYPES
from demo.patterns.chart import WARM_UP

CUTS_PER_SYMBOL: Final = 8


@pytest.fixture(scope="module")
def series() -> dict[str, Series]:
    return market.load_series()


@pytest.fixture(scope="module")
def patterns(series: dict[str, Series]) -> list[Pattern]:
    return find_all_patterns(series[symbol] for symbol in SYMBOLS)


def as_ts(pattern: Pattern) -> int:
    return int(pattern.detected_at.timestamp())


# The market


def test_the_source_is_what_the_documentation_says(series: dict[str, Series]) -> None:
    assert {symbol: len(one) for symbol, one in series.items()} == {
        "AAPL": 3270,
        "FB": 196,
        "GOOG": 2148,
        "IBM": 3270,
        "MSFT": 3270,
        "EQW": 3269,
    }
    sessions = set(series["IBM"].ts.tolist())
    for symbol in SYMBOLS:
        own = series[symbol].ts
        assert set(own.tolist()) == {ts for ts in sessions if ts >= own[0]}, f"{symbol} misses a session"


@pytest.mark.parametrize("symbol", [*SYMBOLS, BENCHMARK])
def test_bars_are_sound(series: dict[str, Series], symbol: str) -> None:
    bars, ts = series[symbol].bars, series[symbol].ts
    assert np.isfinite(bars).all()
    assert (bars[:, HIGH] >= bars[:, [OPEN, LOW, CLOSE]].max(axis=1)).all()
    assert (bars[:, LOW] <= bars[:, [OPEN, HIGH, CLOSE]].min(axis=1)).all()
    assert (bars > 0).all()
    assert (np.diff(ts) > 0).all()
    assert not bars.flags.writeable
    assert not ts.flags.writeable


@pytest.mark.parametrize(
    ("high", "low", "ts"),
    [(0.9, 0.5, [1, 2]), (2.0, 1.5, [1, 2]), (2.0, 0.5, [2, 1]), (2.0, 0.5, [1]), (2.0, float("nan"), [1, 2])],
)
def test_unsound_bars_are_refused(high: float, low: float, ts: list[int]) -> None:
    bars = np.tile([1.0, high, low, 1.0, 10.0], (2, 1))
    with pytest.raises(ValueError, match="X: bars must be in time order"):
        Series("X", np.array(ts, dtype=np.int64), bars)


@pytest.mark.parametrize(
    ("symbol", "day"), [("AAPL", "2000-06-21"), ("AAPL", "2005-02-28"), ("MSFT", "2003-02-18")], ids=str
)
def test_splits_leave_no_jump(series: dict[str, Series], symbol: str, day: str) -> None:
    own = series[symbol]
    at = int(np.searchsorted(own.ts, market.close_of_day(date.fromisoformat(day))))
    assert abs(own.bars[at, CLOSE] / own.bars[at - 1, CLOSE] - 1) < 0.1


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_adjusting_keeps_the_money_traded(series: dict[str, Series], symbol: str) -> None:
    source, bars = getattr(stocks, symbol), series[symbol].bars
    np.testing.assert_allclose(bars[:, CLOSE], source["adj_close"], rtol=1e-12)
    money = np.array(source["close"]) * np.array(source["volume"], dtype=np.float64)
    np.testing.assert_allclose(bars[:, CLOSE] * bars[:, VOLUME], money, rtol=1e-12)


def test_the_only_halving_is_the_real_one(series: dict[str, Series]) -> None:
    halved = {
        (symbol, datetime.fromtimestamp(int(series[symbol].ts[at + 1]), UTC).date().isoformat())
        for symbol in SYMBOLS
        for at in np.flatnonzero(np.abs(np.diff(np.log(series[symbol].bars[:, CLOSE]))) > np.log(1.4))
    }
    assert halved == {("AAPL", "2000-09-29")}  # a profit warning


@pytest.mark.parametrize(
    ("day", "utc_hour"),
    [("2007-03-09", 21), ("2007-03-12", 20), ("2007-11-02", 20), ("2007-11-05", 21), ("2006-03-31", 21)],
    ids=str,
)
def test_bars_are_complete_at_the_new_york_close(day: str, utc_hour: int) -> None:
    close = market.close_of_day(date.fromisoformat(day))
    assert datetime.fromtimestamp(close, UTC).isoformat() == f"{day}T{utc_hour}:00:00+00:00"
    assert close - market.open_of_bar(close) == timedelta(hours=6, minutes=30).total_seconds()


@pytest.mark.parametrize(("offset", "complete"), [(-1, 9), (0, 10), (1, 10)])
def test_a_series_is_parted_at_an_instant(series: dict[str, Series], offset: int, complete: int) -> None:
    own = series["IBM"]
    cut = int(own.ts[9]) + offset
    np.testing.assert_array_equal(own.until(cut).bars, own.bars[:complete])
    np.testing.assert_array_equal(own.after(cut).bars, own.bars[complete:])


# The index


def test_index_chains_the_average_return(series: dict[str, Series]) -> None:
    """Every bar, built again one day at a time in plain Python."""
    index = series[BENCHMARK]
    before: dict[str, float] = {}
    level, at = 100.0, 0
    by_day = {symbol: dict(zip(series[symbol].ts.tolist(), series[symbol].bars, strict=True)) for symbol in SYMBOLS}
    for ts in series["IBM"].ts.tolist():
        today = {symbol: by_day[symbol][ts] for symbol in SYMBOLS if ts in by_day[symbol]}
        old = [symbol for symbol in today if symbol in before]
        if old:
            assert index.ts[at] == ts
            want = [level * sum(today[s][c] / before[s] for s in old) / len(old) for c in range(4)]
            np.testing.assert_allclose(index.bars[at, :4], want, rtol=1e-9)
            assert index.bars[at, VOLUME] == pytest.approx(sum(today[s][VOLUME] for s in old))
            level, at = want[CLOSE], at + 1
        before.update({symbol: float(bar[CLOSE]) for symbol, bar in today.items()})
    assert at == len(index)


def test_index_is_aligned_with_its_members(series: dict[str, Series]) -> None:
    assert set(series[BENCHMARK].ts.tolist()) == set(series["IBM"].ts[1:].tolist())


def test_index_knows_no_future(series: dict[str, Series]) -> None:
    whole = series[BENCHMARK]
    for at in (0, 500, 1500, 3100, 3268):
        cut = int(whole.ts[at])
        early = market.equal_weight_index(
            [series[symbol].until(cut) for symbol in SYMBOLS if series[symbol].ts[0] < cut]
        )
        assert early.ts[-1] == cut
        np.testing.assert_array_equal(early.bars, whole.bars[: at + 1])


# The application


def test_there_are_enough_patterns(patterns: list[Pattern]) -> None:
    last = patterns[-1].detected_at
    assert len(patterns) > 6000
    assert sum(pattern.detected_at > last - timedelta(days=730) for pattern in patterns) > 1000
    assert {p.pattern_type for p in patterns} == PATTERN_TYPES


def test_no_pattern_is_reported_twice(patterns: list[Pattern]) -> None:
    seen = Counter((pattern.symbol, pattern.detected_at, pattern.pattern_type) for pattern in patterns)
    assert max(seen.values()) == 1


def test_patterns_come_in_time_order(patterns: list[Pattern]) -> None:
    assert all(one.detected_at <= two.detected_at for one, two in itertools.pairwise(patterns))


def test_levels_agree_with_the_direction(series: dict[str, Series], patterns: list[Pattern]) -> None:
    for pattern in patterns:
        own = series[pattern.symbol].until(as_ts(pattern))
        assert own.ts[-1] == as_ts(pattern)
        assert pattern.entry == own.bars[-1, CLOSE]
        assert pattern.target is not None
        assert pattern.stoploss is not None
        assert pattern.direction * (pattern.target - pattern.entry) > 0
        assert pattern.direction * (pattern.entry - pattern.stoploss) > 0
        assert min(pattern.target, pattern.stoploss) > 0
        assert pattern.support is None or pattern.support < pattern.entry
        assert pattern.resistance is None or pattern.resistance > pattern.entry
        assert pattern.started_at < pattern.detected_at
        assert 0.3 <= pattern.confidence <= 0.95
        assert set(pattern.metadata) == {"market"}


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_no_pattern_knows_the_future(series: dict[str, Series], patterns: list[Pattern], symbol: str) -> None:
    """With everything after a pattern's bar cut away, its row, and every earlier one, comes out the same."""
    own = sorted((p for p in patterns if p.symbol == symbol), key=lambda p: (p.detected_at, p.pattern_type))
    rng = np.random.default_rng(7)
    for pick in rng.choice(len(own), CUTS_PER_SYMBOL, replace=False):
        cut = as_ts(own[pick])
        peers = [series[other].until(cut) for other in SYMBOLS if other != symbol]
        seen = find_patterns(series[symbol].until(cut), peers)
        assert seen == [pattern for pattern in own if as_ts(pattern) <= cut]
        assert own[pick] in seen


Bar = tuple[float, float, float, float, float]
RED: Final = (100.0, 100.2, 98.8, 99.0, 1000.0)
ENGULFING_GREEN: Final = (98.9, 101.2, 98.5, 101.0, 2900.0)


def made_up_series(*last_bars: Bar) -> Series:
    """Forty calm days around 100, each a little higher so none is a swing; but a low of 90, a high of 110."""
    rising = [day / 1000 for day in range(40)]
    calm: list[Bar] = [(99.9 + up, 101 + up, 99 + up, 100.1 + up, 1000.0) for up in rising]
    calm[30] = (99.9, 101.03, 90.0, 100.1, 1000.0)
    calm[32] = (100.1, 110.0, 99.032, 99.9, 1000.0)
    bars = np.array([*calm, *last_bars])
    start = date(2010, 1, 4)
    ts = np.array([market.close_of_day(start + timedelta(days=day)) for day in range(len(bars))], dtype=np.int64)
    return Series("MADE", ts, bars)


def test_a_made_up_engulfing_is_described_by_the_rules() -> None:
    series = made_up_series(RED, ENGULFING_GREEN)
    (found,) = [p for p in find_patterns(series) if p.pattern_type == "engulfing" and as_ts(p) == series.ts[-1]]
    assert found.direction == 1
    assert (found.entry, found.support, found.resistance) == (101.0, 90.0, 110.0)
    atr = talib.ATR(series.bars[:, HIGH].copy(), series.bars[:, LOW].copy(), series.bars[:, CLOSE].copy(), 14)[-1]
    assert found.stoploss == pytest.approx(98.5 - 0.1 * atr)
    assert found.target == 110.0
    average_close, average_volume = series.bars[-20:, CLOSE].mean(), series.bars[-20:, VOLUME].mean()
    # Close against its average, volume, shape; and a reward of more than twice the risk.
    terms = [(101.0 - average_close) / (3 * atr), 1.0, 2 * (101.2 - 98.5) / (2 * atr) - 1, 1.0]
    assert average_volume * 2 < 2900
    assert found.confidence == pytest.approx(0.5 + 0.1 * np.clip(terms, -1, 1).sum(), abs=1e-4)
    assert found.started_at == datetime(2010, 2, 13, 14, 30, tzinfo=UTC)
    assert found.metadata == {}


def test_a_swing_is_known_two_bars_late() -> None:
    dip: Bar = (100.0, 100.2, 80.0, 99.0, 1000.0)
    for bars, support in (((dip, ENGULFING_GREEN), 90.0), ((dip, RED, ENGULFING_GREEN), 80.0)):
        series = made_up_series(*bars)
        (found,) = [p for p in find_patterns(series) if p.pattern_type == "engulfing" and as_ts(p) == series.ts[-1]]
        assert found.support == support


def test_sector_performance_is_the_mean_return_of_the_peers() -> None:
    own = made_up_series(RED, ENGULFING_GREEN)
    peers = [Series("P", own.ts, own.bars * scale) for scale in (1.0, 2.0)]
    found = find_patterns(own, peers)[-1]
    assert found.metadata == {
        "market": {"sector_performance": pytest.approx(101.0 / own.bars[-6, CLOSE] - 1, abs=1e-6)}
    }


def test_too_short_a_series_has_no_patterns(series: dict[str, Series]) -> None:
    own = series["FB"]
    assert find_patterns(own.until(int(own.ts[WARM_UP - 1]))) == []
    assert find_patterns(own.until(int(own.ts[0]) - 1)) == []
