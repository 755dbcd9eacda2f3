"""The detectors of the demo's application: on bars made by hand, turned upside down, and with the future cut away."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from demo.application import find_all_patterns, rule_confidence
from demo.market import SYMBOLS, Series, close_of_day, load_series
from demo.patterns import CANDLESTICKS, PATTERN_TYPES, Chart, Setup, breakouts, doubles, find_setups, triangles
from demo.patterns.chart import MAX_RISK, MIN_DISTANCE, WARM_UP, latest, next_resistance, setup, swing_stop
from demo.patterns.swings import swing_highs

Floats = NDArray[np.float64]
MIRROR: Final = 400.0


def series_of(bars: Floats) -> Series:
    start = date(2010, 1, 4)
    ts = np.array([close_of_day(start + timedelta(days=day)) for day in range(len(bars))], dtype=np.int64)
    return Series("MADE", ts, bars)


def zigzag(*corners: tuple[int, float]) -> Series:
    """Closes on straight lines between the corners (bar number, price); each bar reaches 0.2 beyond its two closes."""
    at, price = zip(*corners, strict=True)
    close = np.interp(np.arange(at[-1] + 1), at, price)
    before = np.concatenate([close[:1], close[:-1]])
    high, low = np.maximum(before, close) + 0.2, np.minimum(before, close) - 0.2
    return series_of(np.column_stack([before, high, low, close, np.full(len(close), 1000.0)]))


def mirrored(series: Series) -> Series:
    """The same chart upside down, still at positive prices."""
    open_, high, low, close, volume = series.bars.T
    return series_of(np.column_stack([MIRROR - open_, MIRROR - low, MIRROR - high, MIRROR - close, volume]))


def random_walk(seed: int, bars: int = 240) -> Series:
    """A walk of fat-tailed steps that keeps between 100 and 300, so that its mirror image has prices too."""
    rng = np.random.default_rng(seed)
    close = 200 + 60 * np.tanh(np.cumsum(rng.standard_t(4, bars)) * 0.02)
    open_ = np.concatenate([close[:1], close[:-1]]) + rng.normal(0, 0.3, bars)
    high = np.maximum(open_, close) + rng.exponential(0.6, bars)
    low = np.minimum(open_, close) - rng.exponential(0.6, bars)
    return series_of(np.column_stack([open_, high, low, close, rng.integers(500, 3000, bars).astype(float)]))


def of_type(found: Sequence[Setup], name: str) -> list[Setup]:
    return [one for one in found if one.pattern_type == name]


# Swings


def test_a_swing_high_is_the_greatest_of_its_neighbourhood() -> None:
    high = np.array([1.0, 2, 5, 3, 2, 2, 4, 4, 1, 0, 9])
    swings = swing_highs(high, 2)
    assert swings.at.tolist() == [2, 6]
    assert swings.price.tolist() == [5, 4]


def test_a_swing_is_known_late_and_forgotten() -> None:
    swings = swing_highs(np.array([1.0, 2, 5, 3, 2, 2, 4, 3, 1, 0, 9]), 2)
    assert [len(swings.known(now, reach=6)) for now in range(3, 11)] == [0, 1, 1, 1, 1, 2, 1, 1]


@pytest.mark.parametrize("bars", range(5))
def test_too_few_bars_have_no_swing(bars: int) -> None:
    assert len(swing_highs(np.arange(bars, dtype=np.float64), 2)) == 0


# Levels


FLAT: Final = zigzag((0, 100.0), (30, 100.0))
"""An ATR of 0.4."""


@pytest.mark.parametrize(
    ("target", "stop", "levels"),
    [
        (101.0, 99.0, (101.0, 99.0)),
        (100.1, 99.0, None),  # nothing to gain
        (99.0, 98.0, None),  # the close is past it already
        (101.0, 99.99, (101.0, 99.8)),  # a stop that any bar would touch
        (101.0, 90.0, (101.0, 98.4)),  # a risk that no trader takes
        (101.0, 100.5, (101.0, 99.8)),  # a swing above the close
        (float("nan"), 99.0, None),
    ],
)
def test_levels_are_kept_on_their_side_and_within_reason(
    target: float, stop: float, levels: tuple[float, float] | None
) -> None:
    found = setup(Chart.of(FLAT), "any", 20, 30, target, stop, 0.5)
    assert (None if found is None else (found.target, found.stop)) == (levels and pytest.approx(levels))


def test_no_level_is_below_zero() -> None:
    cheap = Chart.of(zigzag((0, 3.0), (30, 3.0))).facing(-1)
    assert setup(cheap, "any", 20, 30, target=-0.5, stop=-3.5, shape=0.5) is not None
    assert setup(cheap, "any", 20, 30, target=0.5, stop=-3.5, shape=0.5) is None


def test_stop_and_target_are_at_swings() -> None:
    chart = Chart.of(zigzag((0, 100.0), (20, 110.0), (26, 102.0), (30, 107.0), (34, 104.0), (40, 106.0)))
    atr = float(chart.atr[40])
    assert swing_stop(chart, 40, fallback=90.0) == pytest.approx(103.8 - 0.1 * atr)
    assert next_resistance(chart, 40) == pytest.approx(107.2)
    assert swing_stop(chart, 10, fallback=90.0) == 90.0
    assert next_resistance(chart, 10) is None
    assert latest(chart.highs, above=108.0) == pytest.approx(110.2)


# Detectors


DOUBLE_BOTTOM: Final = ((0, 110.0), (30, 120.0), (40, 100.0), (50, 108.0), (60, 100.3), (75, 112.0))


@pytest.mark.parametrize("direction", [1, -1])
def test_a_double_bottom_and_a_double_top(direction: int) -> None:
    series = zigzag(*DOUBLE_BOTTOM)
    found = list(doubles.find(Chart.of(series if direction == 1 else mirrored(series))))
    (one,) = of_type(found, "double_bottom" if direction == 1 else "double_top")
    neckline, lowest = 108.2, 99.8
    assert one.direction == direction
    assert one.first == 40
    assert series.bars[one.at - 1, 3] <= neckline < series.bars[one.at, 3]
    target = neckline + (neckline - lowest)
    assert one.target == pytest.approx(target if direction == 1 else MIRROR - target)
    assert 0.5 < one.shape < 1


@pytest.mark.parametrize(
    "corners",
    [
        ((0, 110.0), (30, 120.0), (40, 100.0), (50, 108.0), (60, 104.0), (75, 112.0)),  # lows of two prices
        ((0, 110.0), (30, 120.0), (40, 100.0), (45, 108.0), (47, 100.3), (62, 112.0)),  # too near together
        ((0, 110.0), (30, 120.0), (40, 100.0), (50, 101.0), (60, 100.3), (75, 112.0)),  # hardly anything between
        ((0, 110.0), (30, 120.0), (40, 100.0), (50, 108.0), (60, 100.3), (75, 107.0)),  # not confirmed
        ((0, 110.0), (30, 120.0), (40, 100.0), (50, 108.0), (60, 100.3), (68, 103.0), (76, 98.0), (90, 112.0)),
        ((0, 110.0), (30, 120.0), (40, 100.0), (50, 108.0), (60, 100.3), (120, 112.0)),  # too late
    ],
    ids=["uneven", "near", "shallow", "unconfirmed", "broken", "late"],
)
def test_what_is_no_double_bottom(corners: tuple[tuple[int, float], ...]) -> None:
    assert of_type(list(doubles.find(Chart.of(zigzag(*corners)))), "double_bottom") == []


@pytest.mark.parametrize("direction", [1, -1])
def test_a_breakout_and_a_breakdown(direction: int) -> None:
    series = zigzag(*((at, 102.0 if at % 8 == 0 else 100.0) for at in range(0, 37, 4)), (37, 103.5))
    found = list(breakouts.find(Chart.of(series if direction == 1 else mirrored(series))))
    (one,) = found
    assert (one.pattern_type, one.direction, one.at) == (
        ("breakout", 1, 37) if direction == 1 else ("breakdown", -1, 37)
    )
    target, stop = (one.target, one.stop) if direction == 1 else (MIRROR - one.target, MIRROR - one.stop)
    assert target == pytest.approx(102.2 + (102.2 - 99.8))
    assert stop < 99.8
    assert one.first == 17


def test_a_trend_breaks_out_of_no_range() -> None:
    assert list(breakouts.find(Chart.of(zigzag((0, 100.0), (60, 160.0))))) == []


ASCENDING: Final = ((0, 105.0), (20, 98.0), (30, 110.0), (40, 102.0), (50, 110.0), (60, 106.0), (70, 114.0))
SYMMETRICAL: Final = ((0, 105.0), (20, 95.0), (30, 112.0), (40, 98.0), (50, 109.0), (58, 101.5), (70, 113.0))


@pytest.mark.parametrize(
    ("corners", "upright", "upside_down"),
    [
        (ASCENDING, "ascending_triangle", "descending_triangle"),
        (SYMMETRICAL, "symmetrical_triangle", "symmetrical_triangle"),
    ],
)
def test_triangles_are_named_as_people_see_them(
    corners: tuple[tuple[int, float], ...], upright: str, upside_down: str
) -> None:
    series = zigzag(*corners)
    (one,) = triangles.find(Chart.of(series))
    (other,) = triangles.find(Chart.of(mirrored(series)))
    assert (one.pattern_type, one.direction) == (upright, 1)
    assert (other.pattern_type, other.direction) == (upside_down, -1)
    assert one.stop < one.entry < one.target


@pytest.mark.parametrize(
    "corners",
    [
        ((0, 105.0), (20, 98.0), (30, 108.0), (40, 96.0), (50, 112.0), (60, 94.0), (75, 116.0)),  # widening
        ((0, 105.0), (20, 100.0), (30, 110.0), (40, 100.0), (50, 110.0), (60, 100.0), (75, 114.0)),  # a rectangle
        ((0, 105.0), (20, 98.0), (30, 110.0), (40, 102.0), (50, 110.0), (60, 106.0), (63, 109.0)),  # still inside
    ],
    ids=["widening", "rectangle", "inside"],
)
def test_what_is_no_triangle(corners: tuple[tuple[int, float], ...]) -> None:
    assert list(triangles.find(Chart.of(zigzag(*corners)))) == []


# Every detector


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), cut=st.integers(WARM_UP + 1, 239))
def test_no_setup_knows_the_future(seed: int, cut: int) -> None:
    """What is found with every bar after ``cut`` taken away is what was found up to there, to the last bit."""
    series = random_walk(seed)
    early = Chart.of(series_of(series.bars[: cut + 1]))
    assert sorted(find_setups(early), key=repr) == sorted(
        (one for one in find_setups(Chart.of(series)) if one.at <= cut), key=repr
    )


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_upside_down_everything_is_found_the_other_way(seed: int) -> None:
    series = random_walk(seed)
    upright, turned = Chart.of(series), Chart.of(mirrored(series))
    for detector in (breakouts, doubles, triangles):
        found = sorted((one.at, one.direction, one.target, one.stop) for one in detector.find(upright))
        other = sorted((s.at, -s.direction, MIRROR - s.target, MIRROR - s.stop) for s in detector.find(turned))
        assert [one[:2] for one in found] == [one[:2] for one in other]
        np.testing.assert_allclose([one[2:] for one in found], [one[2:] for one in other], rtol=1e-9)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_levels_lie_where_a_trade_needs_them(seed: int) -> None:
    chart = Chart.of(random_walk(seed))
    for one in find_setups(chart):
        atr, entry = chart.atr[one.at], chart.close[one.at]
        assert one.entry == entry
        assert one.direction * (one.target - entry) >= MIN_DISTANCE * atr * (1 - 1e-9)
        assert MIN_DISTANCE * (1 - 1e-9) <= one.direction * (entry - one.stop) / atr <= MAX_RISK * (1 + 1e-9)
        assert 0 <= one.first <= one.at
        assert 0 <= one.shape <= 1
        assert one.pattern_type in PATTERN_TYPES
        assert 0.3 <= rule_confidence(chart, one) <= 0.95


def test_reward_and_risk_differ_from_row_to_row() -> None:
    series = load_series()
    found = find_all_patterns(series[symbol] for symbol in SYMBOLS)
    assert {one.pattern_type for one in found} == PATTERN_TYPES
    for family in (CANDLESTICKS, breakouts.PATTERN_TYPES, doubles.PATTERN_TYPES, triangles.PATTERN_TYPES):
        ratios = [
            abs(one.target - one.entry) / abs(one.entry - one.stoploss)
            for one in found
            if one.pattern_type in family and one.target is not None and one.stoploss is not None
        ]
        low, high = np.quantile(ratios, [0.1, 0.9])
        assert high > 2 * low, family


def test_the_checklist_of_the_rule() -> None:
    """Calm volume, a close on its average, an ordinary shape and reward: the base; then one point after the other."""
    chart = Chart.of(FLAT)
    plain = Setup("breakout", 10, 30, 1, entry=100.0, target=101.0, stop=99.0, shape=0.5)
    assert rule_confidence(chart, plain) == pytest.approx(0.55)
    wide = Setup("breakout", 10, 30, 1, entry=100.0, target=102.0, stop=99.0, shape=1.0)
    assert rule_confidence(chart, wide) == pytest.approx(0.75)
    rising = Chart.of(zigzag((0, 100.0), (30, 160.0)))
    up, down = (Setup("double_top", 10, 30, side, entry=160.0, target=1.0, stop=0.5, shape=0.0) for side in (1, -1))
    assert rule_confidence(rising, up) - rule_confidence(rising, down) == pytest.approx(0.2)
