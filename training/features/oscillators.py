"""More of the technical family: oscillators over highs and lows, directional movement, and volume."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from training.features import weights
from training.features.registry import Family
from training.features.window import Array, Window, shared

OSCILLATORS = Family("technical")
feature = OSCILLATORS.feature

FLAT_RANGE = "0 where highest = lowest"
NO_VOLUME = "NaN where a volume used is"

TYPICAL_TIE = 1e-14
"""Typical prices closer than this times their sum are equal: adjusting for splits makes near ties of real ones."""


class _Channel(NamedTuple):
    """Place of the close in the range of 14 bars as of each of the newest five bars, newest first, [N, 5]."""

    above_low: Array
    below_high: Array
    height: Array


@shared
def _channel(w: Window) -> _Channel:
    reach = w.reach[:, :, :18]
    # Doubling: the extremes of 2, 4 and 8 bars give those of 14.
    for step in (1, 2, 4, 6):
        reach = w.xp.maximum(reach[:, :, step:], reach[:, :, :-step])
    highest, lowest = reach[:, 0, :], -reach[:, 1, :]
    close = w.close[:, :-6:-1]
    return _Channel(close - lowest, highest - close, highest - lowest)


def _stochastic(w: Window, row: list[float]) -> Array:
    fast = w.ratio(100.0 * _channel(w).above_low, _channel(w).height, 0.0)
    return w.xp.sum(fast * w.constant(np.array([row])), axis=1, keepdims=True)


@feature(
    "SMA(3) of 100 (C - LL(14)) / (HH(14) - LL(14))",
    source="TA-Lib STOCH; Lane",
    range="[0, 100]",
    bars=18,
    missing=FLAT_RANGE,
)
def stochastic_k(w: Window) -> Array:
    return _stochastic(w, [1 / 3, 1 / 3, 1 / 3, 0, 0])


@feature("SMA(3) of stochastic_k", source="TA-Lib STOCH; Lane", range="[0, 100]", bars=18, missing=FLAT_RANGE)
def stochastic_d(w: Window) -> Array:
    return _stochastic(w, [1 / 9, 2 / 9, 3 / 9, 2 / 9, 1 / 9])


@feature("-100 (HH(14) - C) / (HH(14) - LL(14))", source="TA-Lib WILLR", range="[-100, 0]", bars=14, missing=FLAT_RANGE)
def williams_r(w: Window) -> Array:
    return w.ratio(-100.0 * _channel(w).below_high[:, :1], _channel(w).height[:, :1], 0.0)


@shared
def _typical(w: Window) -> Array:
    return (w.high + w.low + w.close) / 3.0


@feature(
    "(TP - SMA(TP, 20)) / (0.015 mean |TP - SMA(TP, 20)|), TP = (H + L + C) / 3",
    source="TA-Lib CCI; Lambert 1980",
    range="[-667, 667]",
    bars=20,
    missing="0 where 20 typical prices are equal",
)
def cci_20(w: Window) -> Array:
    centred = w.centred(_typical(w)[:, -20:])
    return w.ratio(centred[:, -1:], 0.015 * w.mean(w.xp.abs(centred), 20), 0.0)


@feature(
    "100 (bars since the lowest low - bars since the highest high of 26 bars) / 25",
    source="TA-Lib AROONOSC; Chande 1995",
    range="[-100, 100]",
    bars=26,
)
def aroon_oscillator(w: Window) -> Array:
    extremes = w.extremes(26)
    return 4.0 * (extremes.low_age - extremes.high_age)


class _Directional(NamedTuple):
    """Wilder sums of 14 directional movements, up and down, as of every bar, [N, 127]; and of true range, [N, 1]."""

    plus: Array
    minus: Array
    true_range: Array


@shared
def _directional(w: Window) -> _Directional:
    xp = w.xp
    up = w.high[:, 1:] - w.high[:, :-1]
    down = w.low[:, :-1] - w.low[:, 1:]
    plus = xp.where((up > 0.0) & (up > down), up, 0.0)
    minus = xp.where((down > 0.0) & (down > up), down, 0.0)
    seed = w.pick(weights.DM_SEED)
    both = xp.concat([plus * seed, minus * seed], axis=1)
    width = weights.DM_DECAY.shape[0]
    sums = xp.matmul(xp.reshape(both, (-1, width)), w.constant(weights.DM_DECAY))
    sums = xp.reshape(sums, (-1, 2 * width))
    true_range = w.dot(w.true_range * seed, weights.DM_DECAY[:, -1][None, :])
    return _Directional(sums[:, :width], sums[:, width:], true_range)


@feature(
    "100 Wilder(14) of +DM / ATR; +DM = rise of H where above 0 and above the fall of L, else 0",
    source="TA-Lib PLUS_DI; Wilder 1978",
    range="[0, 100]",
    bars=15,
    missing="0 where no bar had a range",
)
def plus_di(w: Window) -> Array:
    sums = _directional(w)
    return w.ratio(100.0 * sums.plus[:, -1:], sums.true_range, 0.0)


@feature(
    "100 Wilder(14) of -DM / ATR; -DM = fall of L where above 0 and above the rise of H, else 0",
    source="TA-Lib MINUS_DI; Wilder 1978",
    range="[0, 100]",
    bars=15,
    missing="0 where no bar had a range",
)
def minus_di(w: Window) -> Array:
    sums = _directional(w)
    return w.ratio(100.0 * sums.minus[:, -1:], sums.true_range, 0.0)


@feature(
    "(+DI - -DI) / (+DI + -DI), times direction; absolute where direction is 0",
    source="TA-Lib DX / 100, with a sign",
    range="[-1, 1]",
    bars=15,
    missing="0 where there was no directional movement",
)
def di_agreement(w: Window) -> Array:
    sums = _directional(w)
    plus, minus = sums.plus[:, -1:], sums.minus[:, -1:]
    return w.directed(w.ratio(plus - minus, plus + minus, 0.0))


@feature(
    "Wilder(14) of 100 |+DI - -DI| / (+DI + -DI)",
    source="TA-Lib ADX; Wilder 1978",
    range="[0, 100]",
    bars=28,
    missing="0 where there was no directional movement",
)
def adx_14(w: Window) -> Array:
    sums = _directional(w)
    dx = w.ratio(100.0 * w.xp.abs(sums.plus - sums.minus), sums.plus + sums.minus, 0.0)
    return w.weighted(weights.ADX, dx)


@feature(
    "MFI(14): 100 * flow on bars of rising TP / all flow, flow = TP V",
    source="TA-Lib MFI; Quong and Soudack 1989",
    range="[0, 100]",
    bars=15,
    missing="0 where nothing flowed; " + NO_VOLUME,
)
def mfi_14(w: Window) -> Array:
    typical = _typical(w)[:, -15:]
    step = typical[:, 1:] - typical[:, :-1]
    tie = TYPICAL_TIE * (typical[:, 1:] + typical[:, :-1])
    # A product, not a choice, so that an absent volume shows.
    flow = typical[:, 1:] * w.volume[:, -14:]
    rising = w.total(flow * w.as_float(step > tie), 14)
    falling = w.total(flow * w.as_float(step < -tie), 14)
    return w.ratio(100.0 * rising, rising + falling, 0.0)


@feature(
    "least-squares slope of 20 values of OBV, per bar / SMA(V, 20)",
    source="TA-Lib OBV; Granville 1963",
    range="[-1.51, 1.51]",
    bars=20,
    missing="NaN where nothing traded; " + NO_VOLUME,
)
def obv_slope(w: Window) -> Array:
    signed = w.xp.sign(w.change) * w.volume[:, 1:]
    # A change moves every later value of OBV, so it weighs as much as all their slope weights together.
    later = np.cumsum(weights.slope(20)[:, ::-1], axis=1)[:, -2::-1]
    return w.dot(signed, later) / w.mean(w.volume, 20)


@feature(
    "V / mean of the 20 volumes before", range="[0, inf]", bars=21, missing="NaN where that mean is 0; " + NO_VOLUME
)
def volume_ratio(w: Window) -> Array:
    return w.volume[:, -1:] / w.mean(w.volume[:, :-1], 20)


@feature(
    "SMA(V, 5) / SMA(V, 20)",
    source="TA-Lib SMA",
    range="[0, 4]",
    bars=20,
    missing="NaN where nothing traded; " + NO_VOLUME,
)
def volume_trend(w: Window) -> Array:
    return w.mean(w.volume, 5) / w.mean(w.volume, 20)


@feature(
    "Pearson's r of C and V over 20 bars",
    source="TA-Lib CORREL",
    range="[-1, 1]",
    bars=20,
    missing="0 where either is constant; " + NO_VOLUME,
)
def price_volume_correlation(w: Window) -> Array:
    return w.correlation(w.close[:, -20:], w.volume[:, -20:])


@feature(
    "sum of V ((C - L) - (H - C)) / (H - L) over 20 bars / sum of V; a bar without range counts 0",
    source="Chaikin money flow",
    range="[-1, 1]",
    bars=20,
    missing="NaN where nothing traded; " + NO_VOLUME,
)
def money_flow_20(w: Window) -> Array:
    high, low, close = w.high[:, -20:], w.low[:, -20:], w.close[:, -20:]
    place = w.ratio((close - low) - (high - close), high - low, 0.0)
    return w.total(place * w.volume[:, -20:], 20) / w.total(w.volume, 20)
