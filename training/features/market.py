"""Market context: the clock of the detection, what the application says of the market, and the benchmark."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from db_functions.contract import CONTEXT_COLUMNS
from training.features.registry import Family
from training.features.stretches import deviation
from training.features.window import RETURNS, Array, Window, shared

MARKET = Family("market context")
feature = MARKET.feature

DAY_S = 86_400.0
NO_BENCHMARK = "NaN where the benchmark lacks either bar"


@shared
def _seconds(w: Window) -> Array:
    return w.as_float(w.column("detected_at"))


@shared
def _hour_angle(w: Window) -> Array:
    """The time of the UTC day as an angle."""
    days = _seconds(w) / DAY_S
    return (days - w.xp.floor(days)) * math.tau


@shared
def _weekday_angle(w: Window) -> Array:
    """The UTC weekday as an angle, Monday 0; 1 January 1970 was a Thursday."""
    weeks = (w.xp.floor(_seconds(w) / DAY_S) + 3.0) / 7.0
    return (weeks - w.xp.floor(weeks)) * math.tau


def _cos(w: Window, angle: Array) -> Array:
    # ONNX Runtime has no cosine in float64, only a sine.
    return w.xp.sin(angle + math.pi / 2)


@feature("sin(2 pi h / 24), h = hours of detected_at, UTC, with fractions", range="[-1, 1]", bars=0)
def hour_sin(w: Window) -> Array:
    return w.xp.sin(_hour_angle(w))


@feature("cos(2 pi h / 24)", range="[-1, 1]", bars=0)
def hour_cos(w: Window) -> Array:
    return _cos(w, _hour_angle(w))


@feature("sin(2 pi d / 7), d = weekday of detected_at, UTC, Monday 0", range="[-1, 1]", bars=0)
def weekday_sin(w: Window) -> Array:
    return w.xp.sin(_weekday_angle(w))


@feature("cos(2 pi d / 7)", range="[-1, 1]", bars=0)
def weekday_cos(w: Window) -> Array:
    return _cos(w, _weekday_angle(w))


def _context(w: Window, name: str) -> Array:
    return w.column("context", CONTEXT_COLUMNS.index(name))


def _given(name: str) -> str:
    return f"`{name}` of the row's market metadata, as given"


@feature(_given("days_since_earnings"), range="[-inf, inf]", bars=0, missing="NaN where absent")
def days_since_earnings(w: Window) -> Array:
    return _context(w, "days_since_earnings")


@feature(_given("vix"), range="[-inf, inf]", bars=0, missing="NaN where absent")
def vix(w: Window) -> Array:
    return _context(w, "vix")


@feature(_given("sector_performance"), range="[-inf, inf]", bars=0, missing="NaN where absent")
def sector_performance(w: Window) -> Array:
    return _context(w, "sector_performance")


@feature(_given("options_activity"), range="[-inf, inf]", bars=0, missing="NaN where absent")
def options_activity(w: Window) -> Array:
    return _context(w, "options_activity")


@feature(_given("news_sentiment"), range="[-inf, inf]", bars=0, missing="NaN where absent")
def news_sentiment(w: Window) -> Array:
    return _context(w, "news_sentiment")


@feature(_given("analyst_confirmations"), range="[-inf, inf]", bars=0, missing="NaN where absent")
def analyst_confirmations(w: Window) -> Array:
    return _context(w, "analyst_confirmations")


LEAST = {20: 15, 60: 45}
"""Pairs that must be complete, by the number of returns."""
_NEWEST = np.array([[float(age < length) for length in LEAST] for age in range(RETURNS - 1, -1, -1)])
"""[60, 2]."""


class _Moments(NamedTuple):
    """Sums of squares and products of log returns less their means, over the pairs that are complete, [N, 1]."""

    own: Array
    market: Array
    product: Array
    enough: Array


@shared
def _sums(w: Window) -> tuple[Array, Array]:
    """Own squares, the benchmark's, and products, over 20 and 60 returns, [N, 6]; and how many pairs, [N, 2]."""
    xp = w.xp
    # The bar before the return must be valid too; then so is its own.
    complete = (xp.abs(w.log_return + w.market_return) < math.inf) & w.valid[:, -RETURNS - 1 : -1]
    newest, flags = w.constant(_NEWEST), w.as_float(complete)
    known = xp.where(xp.expand_dims(complete, axis=1), xp.reshape(w.returns, (-1, 2, RETURNS)), 0.0)
    pairs = xp.matmul(flags, newest)
    means = xp.matmul(known, newest) / xp.expand_dims(pairs, axis=1)
    counted = xp.reshape(flags, (-1, 1, 1, RETURNS)) * w.constant(_NEWEST.T)
    centred = (xp.expand_dims(known, axis=2) - xp.expand_dims(means, axis=3)) * counted
    one, other = (xp.take(centred, w.constant(np.array(sides)), axis=1) for sides in ([0, 1, 0], [0, 1, 1]))
    return xp.reshape(xp.sum(one * other, axis=3), (-1, 6)), pairs


def _moments(w: Window, length: int) -> _Moments:
    sums, pairs = _sums(w)
    place = list(LEAST).index(length)
    own, market, product = (sums[:, i : i + 1] for i in range(place, 6, 2))
    return _Moments(own, market, product, pairs[:, place : place + 1] >= LEAST[length])


def _correlation(w: Window, moments: _Moments) -> Array:
    spread = w.xp.sqrt(moments.own) * w.xp.sqrt(moments.market)
    return w.xp.where(moments.enough, moments.product / spread, math.nan)


@feature(
    "Pearson's r of 20 log returns with the benchmark's",
    source="TA-Lib CORREL, of log returns",
    range="[-1, 1]",
    bars=16,
    missing="pairwise complete; NaN under 15 pairs or where either is constant",
)
def market_correlation_20(w: Window) -> Array:
    return _correlation(w, _moments(w, 20))


@feature(
    "Pearson's r of 60 log returns with the benchmark's",
    source="TA-Lib CORREL, of log returns",
    range="[-1, 1]",
    bars=46,
    missing="pairwise complete; NaN under 45 pairs or where either is constant",
)
def market_correlation_60(w: Window) -> Array:
    return _correlation(w, _moments(w, 60))


@feature(
    "covariance of 60 log returns with the benchmark's / variance of the benchmark's",
    source="TA-Lib BETA, of log returns",
    range="[-inf, inf]",
    bars=46,
    missing="pairwise complete; NaN under 45 pairs or where the benchmark is constant",
)
def market_beta_60(w: Window) -> Array:
    moments = _moments(w, 60)
    return w.xp.where(moments.enough, moments.product / moments.market, math.nan)


def _market_rise(w: Window, bars: int) -> Array:
    return w.xp.log(w.benchmark[:, -1:] / w.benchmark[:, RETURNS - bars : RETURNS - bars + 1])


def _relative_strength(w: Window, bars: int) -> Array:
    return w.xp.log(w.last_close / w.close_before(bars)) - _market_rise(w, bars)


@feature("ln(C / C[20]) - the same of the benchmark", range="[-inf, inf]", bars=21, missing=NO_BENCHMARK)
def relative_strength_20(w: Window) -> Array:
    return _relative_strength(w, 20)


@feature("ln(C / C[60]) - the same of the benchmark", range="[-inf, inf]", bars=61, missing=NO_BENCHMARK)
def relative_strength_60(w: Window) -> Array:
    return _relative_strength(w, 60)


@feature("ln(B / B[20]), B = close of the benchmark", range="[-inf, inf]", bars=0, missing=NO_BENCHMARK)
def market_momentum_20(w: Window) -> Array:
    return _market_rise(w, 20)


@feature(
    "ln(B / B[5]) times direction; absolute where direction is 0", range="[-inf, inf]", bars=0, missing=NO_BENCHMARK
)
def market_agreement_5(w: Window) -> Array:
    return w.directed(_market_rise(w, 5))


@feature(
    "sample standard deviation of the benchmark's 20 log returns",
    range="[0, inf]",
    bars=0,
    missing="NaN where the benchmark lacks any of the 21 bars",
)
def market_volatility_20(w: Window) -> Array:
    return deviation(w, "market_return_20", lost=1)
