"""More of the technical family: oscillators over highs and lows, directional movement, and volume."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from training.features import weights
from training.features.registry import Family
from training.features.stretches import centred, correlation
from training.features.window import SPANS, Array, Window, shared

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
    # The first five of the spans are these.
    highest, lowest = w.highest[:, :5], -w.highest[:, len(SPANS) : len(SPANS) + 5]
    close = w.close[:, :-6:-1]
    return _Channel(close - lowest, highest - close, highest - lowest)


@shared
def _stochastics(w: Window) -> list[Array]:
    """The sums of three places, as of the newest three bars, each [N, 1]."""
    fast = w.ratio(100.0 * _channel(w).above_low, _channel(w).height, 0.0)
    places = [fast[:, i : i + 1] for i in range(5)]
    return [places[i] + places[i + 1] + places[i + 2] for i in range(3)]


@feature(
    "SMA(3) of 100 (C - LL(14)) / (HH(14) - LL(14))",
    source="TA-Lib STOCH; Lane",
    range="[0, 100]",
    bars=18,
    missing=FLAT_RANGE,
)
def stochastic_k(w: Window) -> Array:
    return _stochastics(w)[0] / 3.0


@feature("SMA(3) of stochastic_k", source="TA-Lib STOCH; Lane", range="[0, 100]", bars=18, missing=FLAT_RANGE)
def stochastic_d(w: Window) -> Array:
    newest, before, oldest = _stochastics(w)
    return (newest + before + oldest) / 9.0


@feature("-100 (HH(14) - C) / (HH(14) - LL(14))", source="TA-Lib WILLR", range="[-100, 0]", bars=14, missing=FLAT_RANGE)
def williams_r(w: Window) -> Array:
    return w.ratio(-100.0 * _channel(w).below_high[:, :1], _channel(w).height[:, :1], 0.0)


@feature(
    "(TP - SMA(TP, 20)) / (0.015 mean |TP - SMA(TP, 20)|), TP = (H + L + C) / 3",
    source="TA-Lib CCI; Lambert 1980",
    range="[-667, 667]",
    bars=20,
    missing="0 where 20 typical prices are equal",
)
def cci_20(w: Window) -> Array:
    typical = centred(w, "typical_20")
    return w.ratio(typical[:, -1:], 0.015 * w.mean(w.xp.abs(typical), 20), 0.0)


@feature(
    "100 (bars since the lowest low - bars since the highest high of 26 bars) / 25",
    source="TA-Lib AROONOSC; Chande 1995",
    range="[-100, 100]",
    bars=26,
)
def aroon_oscillator(w: Window) -> Array:
    high, low = w.ages(26)
    return 4.0 * (low - high)


class _Directional(NamedTuple):
    """Wilder sums of 14 directional movements, up and down, as of every bar, newest first, [N, 127]."""

    plus: Array
    minus: Array


@shared
def _directional(w: Window) -> _Directional:
    xp = w.xp
    # Rises of the high and falls of the low.
    steps = w.reach[:, :, :-1] - w.reach[:, :, 1:]
    least = xp.maximum(steps[:, ::-1, :], w.constant(np.array(0.0)))
    # A product, not a choice, which costs more where neither is the rule.
    larger = steps * w.as_float(steps > least)
    movements = larger * xp.expand_dims(w.pick(weights.DM_SEED[:, ::-1]), axis=1)
    sums = xp.matmul(movements, w.constant(weights.DM_DECAY[::-1, ::-1]))
    width = len(weights.DM_DECAY)
    sums = xp.reshape(sums, (-1, 2 * width))
    return _Directional(sums[:, :width], sums[:, width:])


@feature(
    "100 Wilder(14) of +DM / ATR; +DM = rise of H where above 0 and above the fall of L, else 0",
    source="TA-Lib PLUS_DI; Wilder 1978",
    range="[0, 100]",
    bars=15,
    missing="0 where no bar had a range",
)
def plus_di(w: Window) -> Array:
    return w.ratio(100.0 * _directional(w).plus[:, :1], w.wilder[:, 8:9], 0.0)


@feature(
    "100 Wilder(14) of -DM / ATR; -DM = fall of L where above 0 and above the rise of H, else 0",
    source="TA-Lib MINUS_DI; Wilder 1978",
    range="[0, 100]",
    bars=15,
    missing="0 where no bar had a range",
)
def minus_di(w: Window) -> Array:
    return w.ratio(100.0 * _directional(w).minus[:, :1], w.wilder[:, 8:9], 0.0)


@feature(
    "(+DI - -DI) / (+DI + -DI), times direction; absolute where direction is 0",
    source="TA-Lib DX / 100, with a sign",
    range="[-1, 1]",
    bars=15,
    missing="0 where there was no directional movement",
)
def di_agreement(w: Window) -> Array:
    sums = _directional(w)
    plus, minus = sums.plus[:, :1], sums.minus[:, :1]
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
    dx = w.ratio(w.xp.abs(sums.plus - sums.minus), sums.plus + sums.minus, 0.0)
    return 100.0 * w.xp.sum(w.pick(weights.ADX[:, ::-1]) * dx, axis=1, keepdims=True)


@feature(
    "MFI(14): 100 * flow on bars of rising TP / all flow, flow = TP V",
    source="TA-Lib MFI; Quong and Soudack 1989",
    range="[0, 100]",
    bars=15,
    missing="0 where nothing flowed; " + NO_VOLUME,
)
def mfi_14(w: Window) -> Array:
    newer, older = w.typical[:, -14:], w.typical[:, -15:-1]
    step = newer - older
    tie = TYPICAL_TIE * (newer + older)
    # A product, not a choice, so that an absent volume shows.
    flow = newer * w.volume[:, -14:]
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
    signed = w.xp.sign(w.change[:, -19:]) * w.volume[:, -19:]
    # A change moves every later value of OBV, so it weighs as much as all their slope weights together.
    later = np.cumsum(weights.slope(20)[:, ::-1], axis=1)[:, -2::-1]
    return w.dot(signed, later) / w.mean(w.volume, 20)


@feature(
    "V / mean of the 20 volumes before", range="[0, inf]", bars=21, missing="NaN where that mean is 0; " + NO_VOLUME
)
def volume_ratio(w: Window) -> Array:
    return w.volume[:, -1:] / w.mean(w.volume[:, -21:-1], 20)


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
    return correlation(w, "close_20", "volume_20")


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
