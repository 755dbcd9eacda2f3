"""Market context: the clock of the detection, what the application says of the market, and the benchmark."""

from __future__ import annotations

import math
from typing import NamedTuple

from db_functions.contract import CONTEXT_COLUMNS
from training.features.registry import Family
from training.features.window import Array, Window, shared

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


@shared
def _benchmark(w: Window) -> Array:
    """The benchmark's closes, [N, 128], NaN where it has none."""
    return w.inputs["market_bars"][:, :, 3]


@shared
def _benchmark_return(w: Window) -> Array:
    """Log returns of the benchmark, [N, 127]."""
    return w.xp.log(_benchmark(w)[:, 1:] / _benchmark(w)[:, :-1])


class _Moments(NamedTuple):
    """Sums of squares and products of log returns less their means, over the pairs that are complete, [N, 1]."""

    own: Array
    market: Array
    product: Array
    enough: Array


def _moments(w: Window, length: int, least: int) -> _Moments:
    xp = w.xp
    own, market = w.log_return[:, -length:], _benchmark_return(w)[:, -length:]
    # The bar before the return must be valid too; then so is its own.
    complete = (xp.abs(own + market) < math.inf) & w.valid[:, -length - 1 : -1]
    pairs = xp.sum(w.as_float(complete), axis=1, keepdims=True)

    def centred(values: Array) -> Array:
        known = xp.where(complete, values, 0.0)
        return xp.where(complete, known - xp.sum(known, axis=1, keepdims=True) / pairs, 0.0)

    x, y = centred(own), centred(market)
    return _Moments(
        xp.sum(x * x, axis=1, keepdims=True),
        xp.sum(y * y, axis=1, keepdims=True),
        xp.sum(x * y, axis=1, keepdims=True),
        pairs >= least,
    )


@shared
def _moments_20(w: Window) -> _Moments:
    return _moments(w, 20, 15)


@shared
def _moments_60(w: Window) -> _Moments:
    return _moments(w, 60, 45)


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
    return _correlation(w, _moments_20(w))


@feature(
    "Pearson's r of 60 log returns with the benchmark's",
    source="TA-Lib CORREL, of log returns",
    range="[-1, 1]",
    bars=46,
    missing="pairwise complete; NaN under 45 pairs or where either is constant",
)
def market_correlation_60(w: Window) -> Array:
    return _correlation(w, _moments_60(w))


@feature(
    "covariance of 60 log returns with the benchmark's / variance of the benchmark's",
    source="TA-Lib BETA, of log returns",
    range="[-inf, inf]",
    bars=46,
    missing="pairwise complete; NaN under 45 pairs or where the benchmark is constant",
)
def market_beta_60(w: Window) -> Array:
    moments = _moments_60(w)
    return w.xp.where(moments.enough, moments.product / moments.market, math.nan)


def _market_rise(w: Window, bars: int) -> Array:
    return w.xp.log(_benchmark(w)[:, -1:] / _benchmark(w)[:, -1 - bars : -bars])


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
    return w.deviation(_benchmark_return(w), 20, lost=1)
