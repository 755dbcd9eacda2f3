"""The features against a second definition (TA-Lib, or plain Python), and their soundness at any scale."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from db_functions.contract import INPUTS, WINDOW
from tests.features_compare import (
    ABSOLUTE,
    COLUMN,
    ORACLE,
    RELATIVE,
    column,
    differences,
    features_of,
    oracle,
)
from tests.features_oracle import BY_HAND, BY_TALIB, Row
from tests.features_rows import Rows, grid_bars, one_row, real_rows, scaled, with_bars, with_holes
from training.features import FEATURE_NAMES, FEATURES, INPUT_NAMES


def test_every_feature_has_a_second_definition() -> None:
    assert not BY_TALIB.keys() & BY_HAND.keys()
    assert set(ORACLE) == set(FEATURE_NAMES)
    assert len(FEATURES) == len(set(FEATURE_NAMES)) >= 60
    assert {feature.family for feature in FEATURES} == {
        "geometry",
        "technical",
        "price action",
        "market context",
        "history",
        "first passage",
    }


def test_full_windows_agree_with_talib() -> None:
    rows = real_rows(400, seed=1)
    assert differences(features_of(rows), oracle(rows), RELATIVE, ABSOLUTE) == []


def test_short_histories_agree_with_talib_on_just_those_bars() -> None:
    rows = real_rows(2 * WINDOW, seed=2, lengths=[*range(1, WINDOW + 1)] * 2)
    assert differences(features_of(rows), oracle(rows), RELATIVE, ABSOLUTE) == []


def test_absent_inputs_agree() -> None:
    rows = with_holes(real_rows(300, seed=3), seed=4)
    expected = oracle(rows)
    assert np.isnan(expected).any(axis=0).sum() > 40
    assert differences(features_of(rows), expected, RELATIVE, ABSOLUTE) == []


def test_ties_agree_where_prices_are_whole() -> None:
    rows = with_bars(real_rows(300, seed=5), grid_bars(300, seed=6))
    rows["levels"] = np.round(rows["bars"][:, -1, 3:4] * np.array([[0.97, 1.03, 1.05, 1.0, 0.98]]))
    expected = oracle(rows)
    assert differences(features_of(rows), expected, RELATIVE, ABSOLUTE) == []
    highs, lows = rows["bars"][:, 1:, 1] - rows["bars"][:, :-1, 1], rows["bars"][:, :-1, 2] - rows["bars"][:, 1:, 2]
    assert ((highs == lows) & (highs > 0)).any(), "no bar where +DM and -DM tie"


@pytest.mark.parametrize("factor", [1e-8, 1e8])
def test_extreme_prices_agree_with_talib(factor: float) -> None:
    rows = scaled(real_rows(150, seed=7), factor)
    assert differences(features_of(rows), oracle(rows), RELATIVE, ABSOLUTE) == []


def test_a_hole_in_the_bars_ends_the_history() -> None:
    rows = real_rows(60, seed=8)
    holed = {name: values.copy() for name, values in rows.items()}
    holed["bars"][:, 127 - 70, 1] = np.nan
    short = {name: values.copy() for name, values in rows.items()}
    short["bars"][:, : 128 - 70] = np.nan
    np.testing.assert_array_equal(features_of(holed), features_of(short))
    assert differences(features_of(holed), oracle(holed), RELATIVE, ABSOLUTE) == []


FLAT_DIFFERS_FROM_TALIB = {"macd_divergence", "ema_cross"}
"""TA-Lib's averages of equal prices differ by rounding, and these features ask only which is larger."""


@pytest.mark.parametrize("price", [10.0, 10.1, 1e-8 / 3, 1e8 + 0.1])
def test_flat_windows_agree_with_talib(price: float) -> None:
    rows = one_row(real_rows(1, seed=9), 0)
    rows["bars"] = np.broadcast_to([price, price, price, price, 1000.1], (1, WINDOW, 5)).copy()
    got, row = features_of(rows)[0], Row(rows, 0)
    for name, define in BY_TALIB.items():
        expected = 0.0 if name in FLAT_DIFFERS_FROM_TALIB else define(row)
        if name == "bollinger_position":
            expected = 0.5  # TA-Lib's bands are apart by rounding, or not at all
        assert got[COLUMN[name]] == pytest.approx(expected, abs=1e-12, nan_ok=True), name
    for name in ("volatility_ratio", "range_contraction", "fibonacci_retracement", "consolidation"):
        assert math.isnan(got[COLUMN[name]]), name


def test_a_range_that_talib_takes_for_none_is_a_range_here() -> None:
    rows = one_row(real_rows(1, seed=9), 0)
    rows["bars"] = np.broadcast_to([100.0, 100.0, 100.0, 100.0, 1.0], (1, WINDOW, 5)).copy()
    rows["bars"][0, :, 1] += 1e-12
    assert (ORACLE["williams_r"](Row(rows, 0)), column(rows, "williams_r")[0]) == (0.0, -100.0)
    rows["bars"][0, :, 1] += 1e-11
    assert (ORACLE["williams_r"](Row(rows, 0)), column(rows, "williams_r")[0]) == (-100.0, -100.0)


def test_market_correlation_and_beta_are_talibs_of_the_log_returns() -> None:
    rows = real_rows(50, seed=60)
    for i in range(50):
        row = Row(rows, i)
        own, market = row.returns, row.market_returns()
        for length in (20, 60):
            got = column(one_row(rows, i), f"market_correlation_{length}")[0]
            assert got == pytest.approx(row.ta("CORREL", own, market, timeperiod=length), rel=RELATIVE)
        # BETA takes prices and makes plain returns of them, so it is given prices whose plain returns are those.
        of_own, of_market = (np.cumprod(np.concatenate([[1.0], 1 + returns])) for returns in (own, market))
        got = column(one_row(rows, i), "market_beta_60")[0]
        assert got == pytest.approx(row.ta("BETA", of_market, of_own, timeperiod=60), rel=RELATIVE)


def test_near_ties_of_typical_prices_are_ties_in_money_flow() -> None:
    rows = real_rows(1, seed=10)
    prices = 20 + np.sin(np.arange(WINDOW) * 1.7)
    prices[-5] = prices[-6]
    tied = with_bars(rows, np.stack([prices] * 4 + [np.full(WINDOW, 1000.0)], axis=1)[None])
    nearly = with_bars(rows, tied["bars"].copy())
    nearly["bars"][0, -5, :4] += 3e-13
    further = with_bars(rows, tied["bars"].copy())
    further["bars"][0, -5, :4] += 3e-12
    for case in (tied, nearly, further):
        assert column(case, "mfi_14")[0] == pytest.approx(ORACLE["mfi_14"](Row(case, 0)), rel=RELATIVE)
    assert column(nearly, "mfi_14")[0] == pytest.approx(column(tied, "mfi_14")[0], rel=1e-9)
    assert abs(column(further, "mfi_14")[0] - column(tied, "mfi_14")[0]) > 1


def test_a_power_of_two_changes_nothing_at_all() -> None:
    rows = real_rows(300, seed=51)
    np.testing.assert_array_equal(features_of(scaled(rows, 1024.0)), features_of(rows))


THRESHOLDS = {"support_touches", "resistance_touches", "gap_count_20", "up_fraction_20", "closes_in_a_row"}
"""Counts; a near tie in binary can fall on the other side after a multiplication."""


def test_scale_of_prices_does_not_matter() -> None:
    rows = real_rows(1000, seed=52)
    before, after = features_of(rows), features_of(scaled(rows, 1000.0))
    # A near tie of two moves can flip +DM to -DM; on real prices that is rare, and it is the only exception.
    alike = np.isclose(after, before, rtol=1e-9, atol=ABSOLUTE, equal_nan=True)
    continuous = [name not in THRESHOLDS | {"plus_di", "minus_di", "di_agreement", "adx_14"} for name in FEATURE_NAMES]
    assert differences(after[:, continuous], before[:, continuous], 1e-9, ABSOLUTE) == []
    assert alike.all(axis=1).mean() > 0.98


ANY_FLOAT = st.floats(width=64, allow_nan=True, allow_infinity=True)


def wild_rows(draw: st.DrawFn) -> Rows:
    size = draw(st.integers(1, 3))
    fill = st.sampled_from([np.nan, 0.0, 1.0, 100.0, 1e-300, 1e300, -1.0])
    rows: Rows = {}
    for name in INPUT_NAMES:
        shape = (size, *(length or 1 for length in INPUTS[name].shape))
        if name == "detected_at":
            rows[name] = draw(arrays(np.int64, shape, elements=st.integers(-(2**62), 2**62)))
        else:
            rows[name] = draw(arrays(np.float64, shape, elements=ANY_FLOAT, fill=fill))
    return rows


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.composite(wild_rows)())
def test_nothing_is_ever_infinite(rows: Rows) -> None:
    values = features_of(rows)
    assert values.shape == (len(rows["bars"]), len(FEATURES))
    assert not np.isinf(values).any()


@st.composite
def sound_rows(draw: st.DrawFn) -> Rows:
    """Sound bars at any scale: many equal, some far apart, some without volume."""
    count = draw(st.integers(0, WINDOW))
    scale = draw(st.sampled_from([1e-8, 1.0, 1e8]))
    steps = st.sampled_from([0.0, 0.0, 0.0, 0.01, -0.01, 0.5, -0.3])
    path = np.cumprod(1 + draw(arrays(np.float64, WINDOW, elements=steps)))
    wide = draw(arrays(np.float64, (2, WINDOW), elements=st.sampled_from([0.0, 0.0, 0.001, 0.2])))
    path = path / path[-1] * scale * 100
    volume = draw(arrays(np.float64, WINDOW, elements=st.sampled_from([0.0, 1.0, 1e9, np.nan]), fill=st.just(1.0)))
    bars = np.stack([path, path * (1 + wide[0]), path * (1 - wide[1]), path, volume], axis=1)[None]
    bars[:, : WINDOW - count] = np.nan
    rows = real_rows(1, seed=53)
    rows["levels"] = rows["levels"] / rows["bars"][:, -1:, 3] * scale * 100
    return with_bars(rows, bars)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(rows=sound_rows())
def test_sound_bars_keep_every_range(rows: Rows) -> None:
    values = features_of(rows)[0]
    for feature, value in zip(FEATURES, values, strict=True):
        low, high = feature.bounds
        assert math.isnan(value) or low - 1e-7 <= value <= high + 1e-7, (feature.name, value)
