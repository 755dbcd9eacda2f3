"""Price action: volatility, momentum, trend and range of the bars, and the newest candles."""

from __future__ import annotations

from db_functions.contract import WINDOW
from training.features import weights
from training.features.registry import Family
from training.features.stretches import correlation_with_time, deviation
from training.features.window import Array, Window, shared

PRICE_ACTION = Family("price action")
feature = PRICE_ACTION.feature

NO_ATR = "NaN if ATR is 0"
NO_RANGE = "0 where H = L"
GAP = 0.5
"""How large a gap counts, in ATRs."""


_MEANS = weights.side_by_side(weights.plain_mean(5), weights.plain_mean(20))


@shared
def _means(w: Window) -> Array:
    """Of gains, changes and true ranges, each over 5 and then 20 bars, [N, 6]."""
    newest = w.moves[:, :, -len(_MEANS) :]
    return w.xp.reshape(w.xp.matmul(newest, w.constant(_MEANS)), (-1, 6))


@shared
def _volatility_10(w: Window) -> Array:
    return deviation(w, "return_10", lost=1)


@shared
def _volatility_30(w: Window) -> Array:
    return deviation(w, "return_30", lost=1)


@feature("sample standard deviation of 10 log returns", range="[0, inf]", bars=11)
def volatility_10(w: Window) -> Array:
    return _volatility_10(w)


@feature("sample standard deviation of 30 log returns", range="[0, inf]", bars=31)
def volatility_30(w: Window) -> Array:
    return _volatility_30(w)


@feature("volatility_10 / volatility_30", range="[0, inf]", bars=31, missing="NaN where the latter is 0")
def volatility_ratio(w: Window) -> Array:
    return _volatility_10(w) / _volatility_30(w)


@feature(
    "mean true range of 5 bars / mean true range of 20", range="[0, 4]", bars=21, missing="NaN where the latter is 0"
)
def true_range_ratio(w: Window) -> Array:
    return _means(w)[:, 4:5] / _means(w)[:, 5:]


@feature("(C - C[5]) / ATR", source="TA-Lib MOM", range="[-inf, inf]", bars=15, per_atr=True)
def momentum_5(w: Window) -> Array:
    return w.rise(5)


@feature("(C - C[20]) / ATR", source="TA-Lib MOM", range="[-inf, inf]", bars=21, per_atr=True)
def momentum_20(w: Window) -> Array:
    return w.rise(20)


@feature(
    "(C - C[10]) / ATR, times direction; absolute where direction is 0",
    source="TA-Lib MOM",
    range="[-inf, inf]",
    bars=15,
    per_atr=True,
)
def directed_momentum(w: Window) -> Array:
    return w.directed(w.rise(10))


@feature(
    "r |r|, r = Pearson's r of 30 closes with time: R squared of the trend line, with its sign",
    source="TA-Lib CORREL",
    range="[-1, 1]",
    bars=30,
    missing="0 where 30 closes are equal",
)
def trend_strength(w: Window) -> Array:
    r = correlation_with_time(w, "close_30")
    return r * w.xp.abs(r)


@feature(
    "|C - C[20]| / sum of |changes|",
    source="efficiency ratio, Kaufman 1995",
    range="[0, 1]",
    bars=21,
    missing="0 where no close moved",
)
def efficiency_20(w: Window) -> Array:
    return w.ratio(w.xp.abs(w.rise(20)) / 20.0, _means(w)[:, 3:4], 0.0)


@feature("share of the newest 20 changes of the close that are above 0", range="[0, 1]", bars=21)
def up_fraction_20(w: Window) -> Array:
    return w.mean(w.as_float(w.change[:, -20:] > 0.0), 20)


@feature(
    "newest closes in a row that moved the same way, negative where down, at most 20",
    range="[-20, 20]",
    bars=21,
    missing="0 where the close did not move",
)
def closes_in_a_row(w: Window) -> Array:
    xp = w.xp
    way = xp.sign(w.change[:, -20:])
    same = w.newest(way == way[:, -1:])
    return w.as_float(xp.expand_dims(same, axis=1)) * way[:, -1:]


@feature("range of 10 bars / range of 30 bars", range="[0, 1]", bars=30, missing="NaN where the latter is 0")
def consolidation(w: Window) -> Array:
    return w.span(10) / w.span(30)


@feature("range of 20 bars / ATR", range="[0, inf]", bars=20, per_atr=True)
def range_20_atr(w: Window) -> Array:
    return w.span(20)


@feature("(C - LL(20)) / (HH(20) - LL(20))", range="[0, 1]", bars=20, missing="0.5 where they are equal")
def place_in_range_20(w: Window) -> Array:
    return w.ratio(w.last_close - w.extremes(20).low, w.span(20), 0.5)


@feature("(C - LL) / (HH - LL) of the window", range="[0, 1]", bars=20, missing="0.5 where they are equal")
def place_in_window(w: Window) -> Array:
    return w.ratio(w.last_close - w.swing.low, w.swing.high - w.swing.low, 0.5)


@feature("C / HH - 1 of the window", range="[-1, 0]", bars=20)
def drawdown(w: Window) -> Array:
    return (w.last_close - w.swing.high) / w.swing.high


@feature("bars since the window's HH; of equal highs the newest", range="[0, 127]", bars=20)
def high_age(w: Window) -> Array:
    return w.ages(WINDOW)[0]


@feature("bars since the window's LL; of equal lows the newest", range="[0, 127]", bars=20)
def low_age(w: Window) -> Array:
    return w.ages(WINDOW)[1]


@feature(
    "(C - highest high of the 20 bars before) / ATR", source="Donchian", range="[-inf, inf]", bars=21, per_atr=True
)
def channel_high_distance(w: Window) -> Array:
    return w.last_close - w.extremes(20, skip=1).high


@feature("(C - lowest low of the 20 bars before) / ATR", source="Donchian", range="[-inf, inf]", bars=21, per_atr=True)
def channel_low_distance(w: Window) -> Array:
    return w.last_close - w.extremes(20, skip=1).low


@feature(
    "V / mean of the 20 volumes before, where C is above the highest high of those 20 bars; minus that where it is "
    "below their lowest low; else 0",
    range="[-inf, inf]",
    bars=21,
    missing="NaN where that mean is 0 or a volume used is NaN",
)
def breakout_volume(w: Window) -> Array:
    channel = w.extremes(20, skip=1)
    side = w.as_float(w.last_close > channel.high) - w.as_float(w.last_close < channel.low)
    return side * w.volume[:, -1:] / w.mean(w.volume[:, -21:-1], 20)


@feature("(O - C[1]) / ATR", range="[-inf, inf]", bars=15, per_atr=True)
def gap(w: Window) -> Array:
    return w.open[:, -1:] - w.close_before(1)


@feature(f"of 20 bars, those with |O - C[1]| above {GAP} ATR", range="[0, 20]", bars=21, missing=NO_ATR)
def gap_count_20(w: Window) -> Array:
    gaps = w.xp.abs(w.open[:, -20:] - w.close[:, -21:-1])
    return w.total(w.as_float(gaps > GAP * w.atr), 20) + 0.0 * w.atr


@shared
def _candle_range(w: Window) -> Array:
    return w.high[:, -5:] - w.low[:, -5:]


@shared
def _bodies(w: Window) -> Array:
    return w.ratio(w.close[:, -5:] - w.open[:, -5:], _candle_range(w), 0.0)


@feature("(C - O) / (H - L)", source="TA-Lib BOP; Livshin 2001", range="[-1, 1]", bars=1, missing=NO_RANGE)
def candle_body(w: Window) -> Array:
    return _bodies(w)[:, -1:]


@feature(
    "mean of (C - O) / (H - L) over 5 bars",
    source="TA-Lib BOP, SMA",
    range="[-1, 1]",
    bars=5,
    missing="a bar with H = L counts 0",
)
def candle_body_mean_5(w: Window) -> Array:
    return sum(_bodies(w)[:, i : i + 1] for i in range(5)) / 5.0


@feature("(H - max(O, C)) / (H - L)", range="[0, 1]", bars=1, missing=NO_RANGE)
def upper_shadow(w: Window) -> Array:
    shadow = w.high[:, -1:] - w.xp.maximum(w.open[:, -1:], w.last_close)
    return w.ratio(shadow, _candle_range(w)[:, -1:], 0.0)


@feature("(min(O, C) - L) / (H - L)", range="[0, 1]", bars=1, missing=NO_RANGE)
def lower_shadow(w: Window) -> Array:
    shadow = w.xp.minimum(w.open[:, -1:], w.last_close) - w.low[:, -1:]
    return w.ratio(shadow, _candle_range(w)[:, -1:], 0.0)


@feature("(H - L) / ATR", range="[0, inf]", bars=15, per_atr=True)
def candle_range_atr(w: Window) -> Array:
    return _candle_range(w)[:, -1:]
