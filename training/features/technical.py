"""Technical indicators: TA-Lib's where it has them, on the row's own window and with TA-Lib's seeds."""

from __future__ import annotations

from typing import NamedTuple

from training.features import weights
from training.features.registry import Family
from training.features.stretches import deviation
from training.features.weights import LAG, RSI_LAG
from training.features.window import Array, Window, shared

TECHNICAL = Family("technical")
feature = TECHNICAL.feature

NO_ATR = "NaN if ATR is 0"


def _relative_strength(w: Window, column: int = 0) -> Array:
    gains, moves = (w.wilder[:, i : i + 1] for i in (column, 3 + column))
    return w.ratio(100.0 * gains, moves, 0.0)


@feature(
    "100 Wilder(14) of gains / Wilder(14) of |changes|",
    source="TA-Lib RSI; Wilder 1978",
    range="[0, 100]",
    bars=15,
    missing="0 where no close ever moved",
)
def rsi_14(w: Window) -> Array:
    return _relative_strength(w)


@feature("1 where RSI >= 70, -1 where RSI <= 30, else 0", source="Wilder 1978", range="[-1, 1]", bars=15)
def rsi_zone(w: Window) -> Array:
    return w.as_float(rsi_14(w) >= 70.0) - w.as_float(rsi_14(w) <= 30.0)


@feature(f"RSI(14) - RSI(14)[{RSI_LAG}]", range="[-100, 100]", bars=15 + RSI_LAG)
def rsi_change(w: Window) -> Array:
    return rsi_14(w) - _relative_strength(w, 1)


class _Averages(NamedTuple):
    """Averages of close - C, each [N, 1]."""

    ema20: Array
    ema50: Array
    macd: Array
    signal: Array
    ema20_before: Array
    ema50_before: Array
    macd_before: Array


@shared
def _averages(w: Window) -> _Averages:
    sums = w.xp.matmul(w.xp.expand_dims(w.offset, axis=1), w.pick(weights.CLOSES))
    return _Averages(*(w.xp.squeeze(sums, axis=1)[:, i : i + 1] for i in range(7)))


class _Plain(NamedTuple):
    """Of close - C, each [N, 1]."""

    mean10: Array
    mean20: Array
    mean50: Array
    slope14: Array


_PLAIN = weights.side_by_side(*map(weights.plain_mean, (10, 20, 50)), weights.slope(14))


@shared
def _plain(w: Window) -> _Plain:
    sums = w.xp.matmul(w.offset[:, -len(_PLAIN) :], w.constant(_PLAIN))
    return _Plain(*(sums[:, i : i + 1] for i in range(4)))


@feature(
    "(EMA(12) - EMA(26)) / ATR, both begun at bar 26", source="TA-Lib MACD", range="[-inf, inf]", bars=34, per_atr=True
)
def macd_line(w: Window) -> Array:
    return _averages(w).macd


@feature("EMA(9) of the MACD line / ATR", source="TA-Lib MACD", range="[-inf, inf]", bars=34, per_atr=True)
def macd_signal(w: Window) -> Array:
    return _averages(w).signal


@feature("(MACD line - MACD signal) / ATR", source="TA-Lib MACD", range="[-inf, inf]", bars=34, per_atr=True)
def macd_histogram(w: Window) -> Array:
    return _averages(w).macd - _averages(w).signal


@feature(
    f"(sign(C - C[{LAG}]) - sign(MACD line - MACD line[{LAG}])) / 2: 1 where price rose and MACD fell, "
    "-1 where price fell and MACD rose, 0 where they agree",
    source="Murphy 1999, ch. 10",
    range="[-1, 1]",
    bars=34 + LAG,
)
def macd_divergence(w: Window) -> Array:
    turn = _averages(w).macd - _averages(w).macd_before
    return (w.xp.sign(w.rise(LAG)) - w.xp.sign(turn)) / 2.0


@feature("(C - EMA(20)) / ATR", source="TA-Lib EMA", range="[-inf, inf]", bars=20, per_atr=True)
def ema20_distance(w: Window) -> Array:
    return -_averages(w).ema20


@feature("(C - EMA(50)) / ATR", source="TA-Lib EMA", range="[-inf, inf]", bars=50, per_atr=True)
def ema50_distance(w: Window) -> Array:
    return -_averages(w).ema50


@feature("(EMA(20) - EMA(50)) / ATR", source="TA-Lib EMA", range="[-inf, inf]", bars=50, per_atr=True)
def ema_spread(w: Window) -> Array:
    return _averages(w).ema20 - _averages(w).ema50


@feature(
    f"(sign(EMA(20) - EMA(50)) - sign of the same {LAG} bars ago) / 2: 1 after a cross up, -1 after a cross down",
    source="TA-Lib EMA",
    range="[-1, 1]",
    bars=50 + LAG,
)
def ema_cross(w: Window) -> Array:
    of = _averages(w)
    return (w.xp.sign(of.ema20 - of.ema50) - w.xp.sign(of.ema20_before - of.ema50_before)) / 2.0


@feature("(C - SMA(20)) / ATR", source="TA-Lib SMA", range="[-inf, inf]", bars=20, per_atr=True)
def sma20_distance(w: Window) -> Array:
    return -_plain(w).mean20


@feature("C / SMA(50) - 1", source="TA-Lib SMA", range="[-1, inf]", bars=50)
def sma50_distance(w: Window) -> Array:
    mean = _plain(w).mean50
    return -mean / (w.last_close + mean)


@feature("(SMA(10) - SMA(50)) / ATR", source="TA-Lib SMA", range="[-inf, inf]", bars=50, per_atr=True)
def sma_spread(w: Window) -> Array:
    return _plain(w).mean10 - _plain(w).mean50


@feature("100 (C / C[10] - 1)", source="TA-Lib ROC", range="[-100, inf]", bars=11)
def roc_10(w: Window) -> Array:
    return 100.0 * w.rise(10) / w.close_before(10)


@feature("100 (C / C[20] - 1)", source="TA-Lib ROC", range="[-100, inf]", bars=21)
def roc_20(w: Window) -> Array:
    return 100.0 * w.rise(20) / w.close_before(20)


@feature(
    "least-squares slope of 14 closes, per bar / ATR",
    source="TA-Lib LINEARREG_SLOPE",
    range="[-inf, inf]",
    bars=15,
    per_atr=True,
)
def linear_slope_14(w: Window) -> Array:
    return _plain(w).slope14


@shared
def _band(w: Window) -> Array:
    return deviation(w, "close_20")


@feature(
    "(C - lower) / (upper - lower) of Bollinger bands, SMA(20) +- 2 STDDEV(20)",
    source="TA-Lib BBANDS; Bollinger 2001",
    range="[-0.59, 1.59]",
    bars=20,
    missing="0.5 where 20 closes are equal",
)
def bollinger_position(w: Window) -> Array:
    return w.ratio(2.0 * _band(w) - _plain(w).mean20, 4.0 * _band(w), 0.5)


@feature(
    "(upper - lower) / middle of Bollinger bands, SMA(20) +- 2 STDDEV(20)",
    source="TA-Lib BBANDS; Bollinger 2001",
    range="[0, inf]",
    bars=20,
)
def bollinger_width(w: Window) -> Array:
    return 4.0 * _band(w) / (w.last_close + _plain(w).mean20)


@feature(
    "2 STDDEV(20) / (1.5 ATR): Bollinger half-width over Keltner half-width; under 1 the bands are squeezed",
    source="TA-Lib STDDEV, ATR; Carter 2005",
    range="[0, inf]",
    bars=20,
    per_atr=True,
)
def bollinger_squeeze(w: Window) -> Array:
    return 2.0 * _band(w) / 1.5


@feature("ATR(14) / C", source="TA-Lib ATR, NATR / 100; Wilder 1978", range="[0, inf]", bars=15, missing=NO_ATR)
def atr_fraction(w: Window) -> Array:
    return w.atr / w.last_close
