"""A second definition of every feature: TA-Lib where it has one, else plain Python, one row at a time.

It shares no code with the features, reads only valid bars, and is as slow and obvious as it can be.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from statistics import correlation, fmean, linear_regression, stdev
from typing import Any

import numpy as np
import talib
from numpy.typing import NDArray

from tests.features_rows import Rows
from tests.first_passage_oracle import of_row

NAN = math.nan
Vector = NDArray[np.float64]


def _ago(values: Vector, bars: int) -> float:
    return float(values[-1 - bars]) if bars < len(values) else NAN


class Row:
    """One row: its valid bars, and the rest of its inputs as plain numbers."""

    def __init__(self, rows: Rows, i: int) -> None:
        valid = np.isfinite(rows["bars"][i, :, :4]).all(axis=1)
        start = 0 if valid.all() else int(np.flatnonzero(~valid)[-1]) + 1
        bars = np.ascontiguousarray(rows["bars"][i, start:].T)
        self.o, self.h, self.l, self.c, self.v = bars
        self.first_passage = of_row(bars.T, rows["levels"][i], float(rows["direction"][i]), horizon=20)
        self.market: Vector = np.ascontiguousarray(rows["market_bars"][i, start:, 3])
        self.all_market: Vector = rows["market_bars"][i, :, 3]
        self.support, self.resistance, self.target, self.entry, self.stop = map(float, rows["levels"][i])
        self.direction = float(rows["direction"][i])
        self.rule_confidence, self.duration = float(rows["rule_confidence"][i]), float(rows["duration_s"][i])
        self.context = [float(value) for value in rows["context"][i]]
        self.rate, self.known = map(float, rows["history"][i])
        self.at = datetime.fromtimestamp(int(rows["detected_at"][i]), UTC)
        self.count = len(self.c)

    @property
    def last(self) -> float:
        return float(self.c[-1])

    def ta(self, name: str, *series: Vector, ago: int = 0, **options: Any) -> float:
        """The newest value of a TA-Lib function, or one some bars ago."""
        values: Vector = getattr(talib, name)(*series, **options)
        return _ago(values, ago)

    @property
    def atr(self) -> float:
        value = self.ta("ATR", self.h, self.l, self.c, timeperiod=14)
        return value if value > 0 else NAN

    def macd(self, ago: int = 0) -> tuple[float, float, float]:
        line, signal, histogram = talib.MACD(self.c, 12, 26, 9)
        return _ago(line, ago), _ago(signal, ago), _ago(histogram, ago)

    def ema(self, period: int, ago: int = 0) -> float:
        return self.ta("EMA", self.c, timeperiod=period, ago=ago)

    def sma(self, period: int, of: Vector | None = None, ago: int = 0) -> float:
        return self.ta("SMA", self.c if of is None else of, timeperiod=period, ago=ago)

    def bands(self) -> tuple[float, float, float]:
        upper, middle, lower = talib.BBANDS(self.c, 20, 2.0, 2.0)
        return float(upper[-1]), float(middle[-1]), float(lower[-1])

    def stochastic(self) -> tuple[float, float]:
        k, d = talib.STOCH(self.h, self.l, self.c, fastk_period=14, slowk_period=3, slowd_period=3)
        return float(k[-1]), float(d[-1])

    def hh(self, length: int, skip: int = 0) -> float:
        return self.ta("MAX", self.h, timeperiod=length, ago=skip)

    def ll(self, length: int, skip: int = 0) -> float:
        return self.ta("MIN", self.l, timeperiod=length, ago=skip)

    def span(self, length: int, skip: int = 0) -> float:
        return self.hh(length, skip) - self.ll(length, skip)

    @property
    def returns(self) -> Vector:
        logs: Vector = np.diff(np.log(self.c))
        return logs

    def market_returns(self) -> Vector:
        logs: Vector = np.diff(np.log(self.market))
        return logs

    def rise(self, bars: int) -> float:
        return self.ta("MOM", self.c, timeperiod=bars)

    def swing(self) -> tuple[float, float]:
        return float(self.h.max()), float(self.l.min())

    def directed(self, value: float) -> float:
        return abs(value) if self.direction == 0 else value * self.direction


def divide(a: float, b: float, otherwise: float = NAN) -> float:
    return a / b if b != 0 else otherwise


def sign(x: float) -> float:
    return NAN if math.isnan(x) else float(x > 0) - float(x < 0)


def _retracement(r: Row) -> float:
    high, low = r.swing()
    high_age, low_age = int(np.argmax(r.h[::-1])), int(np.argmin(r.l[::-1]))
    return divide(high - r.last if high_age < low_age else r.last - low, high - low)


def _visits(series: Vector, level: float, atr: float) -> float:
    if math.isnan(level) or math.isnan(atr):
        return NAN
    visits, near = 0, False
    for price in series:
        before, near = near, abs(price - level) <= 0.25 * atr
        visits += near and not before
    return float(visits)


def _breakout(r: Row) -> float:
    up, down = r.last - r.resistance, r.support - r.last
    if r.direction:
        return up if r.direction > 0 else down
    return max(up, down) if not math.isnan(up + down) else NAN


def _r(x: Any, y: Any) -> float:
    if not np.ptp(x) or not np.ptp(y):
        return 0.0
    return correlation(list(map(float, x)), list(map(float, y)))


def _symmetry(r: Row, half: int) -> float:
    return _r(r.c[-2 * half : -half], r.c[-half:][::-1])


def _slope(values: Vector) -> float:
    return linear_regression(range(len(values)), list(map(float, values))).slope


def _in_a_row(r: Row) -> float:
    way, run = sign(r.c[-1] - r.c[-2]), 0
    for i in range(1, 21):
        if sign(r.c[-i] - r.c[-i - 1]) != way:
            break
        run += 1
    return run * way


def _pairs(r: Row, length: int, least: int) -> tuple[list[float], list[float]] | None:
    pairs = [
        (float(a), float(b))
        for a, b in zip(r.returns[-length:], r.market_returns()[-length:], strict=True)
        if math.isfinite(a + b)
    ]
    return ([a for a, _ in pairs], [b for _, b in pairs]) if len(pairs) >= least else None


def _market_r(r: Row, length: int, least: int) -> float:
    pairs = _pairs(r, length, least)
    return correlation(*pairs) if pairs else NAN


def _beta(r: Row) -> float:
    pairs = _pairs(r, 60, 45)
    return linear_regression(pairs[1], pairs[0]).slope if pairs else NAN


def _market_rise(r: Row, bars: int) -> float:
    return math.log(r.all_market[-1]) - math.log(r.all_market[-1 - bars])


def _money_flow(r: Row) -> float:
    flow = sum(
        v * divide((c - low) - (h - c), h - low, 0.0)
        for h, low, c, v in zip(r.h[-20:], r.l[-20:], r.c[-20:], r.v[-20:], strict=True)
    )
    return divide(float(flow), float(r.v[-20:].sum()))


def _breakout_volume(r: Row) -> float:
    side = float(r.last > r.hh(20, 1)) - float(r.last < r.ll(20, 1))
    return side * divide(r.v[-1], r.sma(20, r.v, ago=1))


def _bop(r: Row) -> Vector:
    values: Vector = talib.BOP(r.o, r.h, r.l, r.c)
    return values


def _obv_slope(r: Row) -> float:
    obv = talib.OBV(r.c, r.v)
    return divide(r.ta("LINEARREG_SLOPE", obv, timeperiod=20), r.sma(20, r.v))


def _di(r: Row, name: str) -> float:
    return r.ta(name, r.h, r.l, r.c, timeperiod=14)


def _dx_with_sign(r: Row) -> float:
    return sign(_di(r, "PLUS_DI") - _di(r, "MINUS_DI")) * _di(r, "DX") / 100


def _zone(rsi: float) -> float:
    return NAN if math.isnan(rsi) else float(rsi >= 70) - float(rsi <= 30)


def _angle(part: float) -> float:
    return math.tau * part


def _hour(r: Row) -> float:
    return _angle((r.at.hour * 3600 + r.at.minute * 60 + r.at.second) / 86_400)


def _time_r(r: Row) -> float:
    return r.ta("CORREL", r.c, np.arange(float(r.count)), timeperiod=30)


def _rsi(r: Row, ago: int = 0) -> float:
    return r.ta("RSI", r.c, timeperiod=14, ago=ago)


BY_TALIB: dict[str, Callable[[Row], float]] = {
    "rsi_14": _rsi,
    "rsi_zone": lambda r: _zone(_rsi(r)),
    "rsi_change": lambda r: _rsi(r) - _rsi(r, 5),
    "macd_line": lambda r: r.macd()[0] / r.atr,
    "macd_signal": lambda r: r.macd()[1] / r.atr,
    "macd_histogram": lambda r: r.macd()[2] / r.atr,
    "macd_divergence": lambda r: (sign(r.rise(10)) - sign(r.macd()[0] - r.macd(10)[0])) / 2,
    "ema20_distance": lambda r: (r.last - r.ema(20)) / r.atr,
    "ema50_distance": lambda r: (r.last - r.ema(50)) / r.atr,
    "ema_spread": lambda r: (r.ema(20) - r.ema(50)) / r.atr,
    "ema_cross": lambda r: (sign(r.ema(20) - r.ema(50)) - sign(r.ema(20, 10) - r.ema(50, 10))) / 2,
    "sma20_distance": lambda r: (r.last - r.sma(20)) / r.atr,
    "sma50_distance": lambda r: r.last / r.sma(50) - 1,
    "sma_spread": lambda r: (r.sma(10) - r.sma(50)) / r.atr,
    "roc_10": lambda r: r.ta("ROC", r.c, timeperiod=10),
    "roc_20": lambda r: r.ta("ROC", r.c, timeperiod=20),
    "linear_slope_14": lambda r: r.ta("LINEARREG_SLOPE", r.c, timeperiod=14) / r.atr,
    "bollinger_position": lambda r: divide(r.last - r.bands()[2], r.bands()[0] - r.bands()[2], 0.5),
    "bollinger_width": lambda r: (r.bands()[0] - r.bands()[2]) / r.bands()[1],
    "bollinger_squeeze": lambda r: 2 * r.ta("STDDEV", r.c, timeperiod=20) / (1.5 * r.atr),
    "atr_fraction": lambda r: r.ta("NATR", r.h, r.l, r.c, timeperiod=14) / 100 if r.atr > 0 else NAN,
    "stochastic_k": lambda r: r.stochastic()[0],
    "stochastic_d": lambda r: r.stochastic()[1],
    "williams_r": lambda r: r.ta("WILLR", r.h, r.l, r.c, timeperiod=14),
    "cci_20": lambda r: r.ta("CCI", r.h, r.l, r.c, timeperiod=20),
    "aroon_oscillator": lambda r: r.ta("AROONOSC", r.h, r.l, timeperiod=25),
    "plus_di": lambda r: _di(r, "PLUS_DI"),
    "minus_di": lambda r: _di(r, "MINUS_DI"),
    "di_agreement": lambda r: r.directed(_dx_with_sign(r)),
    "adx_14": lambda r: _di(r, "ADX"),
    "mfi_14": lambda r: r.ta("MFI", r.h, r.l, r.c, r.v, timeperiod=14),
    "obv_slope": _obv_slope,
    "volume_ratio": lambda r: divide(r.v[-1], r.sma(20, r.v, ago=1)),
    "volume_trend": lambda r: divide(r.sma(5, r.v), r.sma(20, r.v)),
    "price_volume_correlation": lambda r: r.ta("CORREL", r.c, r.v, timeperiod=20),
    "volatility_10": lambda r: r.ta("STDDEV", r.returns, timeperiod=10) * math.sqrt(10 / 9),
    "volatility_30": lambda r: r.ta("STDDEV", r.returns, timeperiod=30) * math.sqrt(30 / 29),
    "momentum_5": lambda r: r.rise(5) / r.atr,
    "momentum_20": lambda r: r.rise(20) / r.atr,
    "directed_momentum": lambda r: r.directed(r.rise(10) / r.atr),
    "trend_strength": lambda r: _time_r(r) * abs(_time_r(r)),
    "candle_body": lambda r: float(_bop(r)[-1]),
    "candle_body_mean_5": lambda r: r.sma(5, _bop(r)),
    "true_range_ratio": lambda r: divide(
        r.sma(5, talib.TRANGE(r.h, r.l, r.c)[1:]), r.sma(20, talib.TRANGE(r.h, r.l, r.c)[1:])
    ),
}

BY_HAND: dict[str, Callable[[Row], float]] = {
    "support_distance": lambda r: (r.last - r.support) / r.atr,
    "resistance_distance": lambda r: (r.resistance - r.last) / r.atr,
    "target_distance": lambda r: (r.target - r.last) / r.atr,
    "stop_distance": lambda r: (r.stop - r.last) / r.atr,
    "entry_progress": lambda r: r.directed((r.last - r.entry) / r.atr),
    "risk_reward": lambda r: divide(abs(r.target - r.entry), abs(r.entry - r.stop)),
    "entry_risk": lambda r: abs(r.entry - r.stop) / r.atr,
    "entry_risk_fraction": lambda r: divide(abs(r.entry - r.stop), r.entry),
    "pattern_height": lambda r: (r.resistance - r.support) / r.last,
    "pattern_height_atr": lambda r: (r.resistance - r.support) / r.atr,
    "place_in_pattern": lambda r: divide(r.last - r.support, r.resistance - r.support),
    "support_touches": lambda r: _visits(r.l, r.support, r.atr),
    "resistance_touches": lambda r: _visits(r.h, r.resistance, r.atr),
    "breakout_strength": lambda r: _breakout(r) / r.atr,
    "breakout_conviction": lambda r: (
        NAN if math.isnan(_breakout(r)) else max(_breakout(r), 0) / r.atr * divide(r.v[-1], r.sma(20, r.v))
    ),
    "symmetry_30": lambda r: _symmetry(r, 15),
    "symmetry_60": lambda r: _symmetry(r, 30),
    "level_convergence": lambda r: (_slope(r.l[-30:]) - _slope(r.h[-30:])) / r.atr,
    "range_contraction": lambda r: divide(r.span(15), r.span(15, 15)),
    "fibonacci_retracement": _retracement,
    "fibonacci_382_distance": lambda r: abs(_retracement(r) - 0.382),
    "fibonacci_500_distance": lambda r: abs(_retracement(r) - 0.5),
    "fibonacci_618_distance": lambda r: abs(_retracement(r) - 0.618),
    "fibonacci_nearest": lambda r: min(abs(_retracement(r) - x) for x in (0.236, 0.382, 0.5, 0.618, 0.786)),
    "target_extension": lambda r: divide(r.target - r.swing()[1], r.swing()[0] - r.swing()[1]),
    "money_flow_20": _money_flow,
    "volatility_ratio": lambda r: divide(stdev(r.returns[-10:]), stdev(r.returns[-30:])),
    "efficiency_20": lambda r: divide(abs(r.rise(20)), float(np.abs(np.diff(r.c[-21:])).sum()), 0.0),
    "up_fraction_20": lambda r: fmean(float(x > 0) for x in np.diff(r.c[-21:])),
    "closes_in_a_row": _in_a_row,
    "consolidation": lambda r: divide(r.span(10), r.span(30)),
    "range_20_atr": lambda r: r.span(20) / r.atr,
    "place_in_range_20": lambda r: divide(r.last - r.ll(20), r.span(20), 0.5),
    "place_in_window": lambda r: divide(r.last - r.swing()[1], r.swing()[0] - r.swing()[1], 0.5),
    "drawdown": lambda r: r.last / r.swing()[0] - 1,
    "high_age": lambda r: float(np.argmax(r.h[::-1])),
    "low_age": lambda r: float(np.argmin(r.l[::-1])),
    "channel_high_distance": lambda r: (r.last - r.hh(20, 1)) / r.atr,
    "channel_low_distance": lambda r: (r.last - r.ll(20, 1)) / r.atr,
    "breakout_volume": _breakout_volume,
    "gap": lambda r: (r.o[-1] - r.c[-2]) / r.atr,
    "gap_count_20": lambda r: (
        NAN if math.isnan(r.atr) else sum(abs(r.o[-i] - r.c[-i - 1]) > 0.5 * r.atr for i in range(1, 21))
    ),
    "upper_shadow": lambda r: divide(r.h[-1] - max(r.o[-1], r.last), r.h[-1] - r.l[-1], 0.0),
    "lower_shadow": lambda r: divide(min(r.o[-1], r.last) - r.l[-1], r.h[-1] - r.l[-1], 0.0),
    "candle_range_atr": lambda r: (r.h[-1] - r.l[-1]) / r.atr,
    "hour_sin": lambda r: math.sin(_hour(r)),
    "hour_cos": lambda r: math.cos(_hour(r)),
    "weekday_sin": lambda r: math.sin(_angle(r.at.weekday() / 7)),
    "weekday_cos": lambda r: math.cos(_angle(r.at.weekday() / 7)),
    "days_since_earnings": lambda r: r.context[0],
    "vix": lambda r: r.context[1],
    "sector_performance": lambda r: r.context[2],
    "options_activity": lambda r: r.context[3],
    "news_sentiment": lambda r: r.context[4],
    "analyst_confirmations": lambda r: r.context[5],
    "market_correlation_20": lambda r: _market_r(r, 20, 15),
    "market_correlation_60": lambda r: _market_r(r, 60, 45),
    "market_beta_60": _beta,
    "relative_strength_20": lambda r: math.log(r.last / r.c[-21]) - _market_rise(r, 20),
    "relative_strength_60": lambda r: math.log(r.last / r.c[-61]) - _market_rise(r, 60),
    "market_momentum_20": lambda r: _market_rise(r, 20),
    "market_agreement_5": lambda r: r.directed(_market_rise(r, 5)),
    "market_volatility_20": lambda r: float(np.std(np.diff(np.log(r.all_market[-21:])), ddof=1)),
    "type_success_rate": lambda r: r.rate,
    "type_count_log": lambda r: math.log1p(r.known),
    "duration_log": lambda r: math.log1p(max(r.duration, 0.0)) if r.duration == r.duration else NAN,
    "rule_confidence": lambda r: r.rule_confidence,
    "direction": lambda r: r.direction,
    "first_passage_target": lambda r: r.first_passage[0],
    "first_passage_stop": lambda r: r.first_passage[1],
    "first_passage_neither": lambda r: r.first_passage[2],
    "first_passage_target_plain": lambda r: r.first_passage[3],
    "first_passage_stop_plain": lambda r: r.first_passage[4],
    "first_passage_neither_plain": lambda r: r.first_passage[5],
}
