"""Target before stop by arithmetic alone: the first passage of a driftless walk with the recent volatility.

Three probabilities, once as the formula gives them and once with three corrections that need no labels either:
volatility reverts towards its mean within the horizon, it is uncertain, and a bar that touches both levels counts as a
stop. Levels are those that ``ml.label_outcomes`` judges by, stand-ins included.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from db_functions.contract import LEVEL_COLUMNS, WINDOW
from db_functions.passage import REVERTED, SHIFTS, corrected
from db_functions.walk import LEAST_BARS, STAND_IN_ATRS, STAND_IN_BARS
from training.features.registry import Family
from training.features.window import Array, Window, shared

FIRST_PASSAGE = Family("first passage")
feature = FIRST_PASSAGE.feature

_FARTHEST: Final = 1000.0
"""Of a distance in log prices; no price that counts is as far from another."""
_RANGES: Final = 32
_SERIES: Final = (_RANGES, _RANGES, _RANGES - 1, WINDOW - 1, 2)
"""Logarithms taken side by side: high / low, close / open, open / close before, close / close before, level / close.

They are a multiple of 8 together, as in :mod:`db_functions.passage`.
"""
_ESTIMATORS: Final = 5


def _ages() -> list[NDArray[np.float64]]:
    return [np.arange(length - 1.0, -1.0, -1.0) for length in _SERIES]


def _weights() -> NDArray[np.float64]:
    """[8, 224]: what each squared logarithm weighs in the five variances, then in that of all returns."""
    ranges, _, _, returns, _ = _ages()
    table = np.zeros((8, sum(_SERIES)))
    high_low, close_open, overnight, changes, _ = np.split(table, np.cumsum(_SERIES)[:-1], axis=1)
    changes[0] = returns < 20
    changes[1] = returns < 60
    high_low[2] = (ranges < 20) / (4 * math.log(2))
    changes[3] = _decay()[::-1]
    # Garman and Klass's, with the square of the overnight move.
    high_low[4] = 0.5 * (ranges < 30)
    close_open[4] = (1 - 2 * math.log(2)) * (ranges < 30)
    overnight[4] = ranges[1:] < 30
    # The last two only fill a row.
    changes[5:] = 1.0
    return table


def _decay() -> NDArray[np.float64]:
    """Weights of the exponential average by age."""
    return np.array([math.prod([0.94] * age) if age < 100 else 0.0 for age in range(WINDOW - 1)])


def _counts() -> NDArray[np.float64]:
    """[WINDOW + 1, 8]: by how many bars count, the sum of weights that each variance is divided by."""
    decay = _decay()
    rows = [
        [min(n, 20), min(n, 60), min(n, 20), math.fsum(decay[:n]), min(n, 30), *[n] * 3]
        for n in (max(count - 1, 0) for count in range(WINDOW + 1))
    ]
    return np.array(rows, dtype=np.float64)


_WEIGHTS: Final = _weights()
_COUNTS: Final = _counts()
_NEEDED: Final = np.concatenate(_ages())[None] + 2
"""Bars needed for each logarithm to count: every one is of a bar that has one before it."""


@shared
def _count_index(w: Window) -> Array:
    """The newest bars that count, int64 [N]: back to one with a price that labels or logarithms refuse."""
    return w.xp.minimum(w.newest((w.low > 0.0) & (w.high < 1e100)), w.count_index)


@shared
def _count(w: Window) -> Array:
    return w.as_float(w.xp.expand_dims(_count_index(w), axis=1))


@shared
def _sides(w: Window) -> Array:
    """The side of the price where target and stop lie, [N, 2]."""
    return w.direction * w.constant(np.array([[1.0, -1.0]]))


@shared
def _price(w: Window) -> Array:
    """What labels measure from, [N, 1]: the entry, or the last close."""
    entry = w.level("entry")
    return w.xp.where(w.xp.abs(entry) < 1e100, entry, w.last_close)


@shared
def _levels(w: Window) -> Array:
    """Target and stop as labels use them, [N, 2]."""
    first, last = LEVEL_COLUMNS.index("target"), LEVEL_COLUMNS.index("stoploss")
    given = w.inputs["levels"][:, first : last + 1 : last - first]
    stand_in = _price(w) + _sides(w) * STAND_IN_ATRS * w.mean(w.true_range, STAND_IN_BARS)
    return w.xp.where(w.xp.abs(given) < math.inf, given, stand_in)


@shared
def _logarithms(w: Window) -> Array:
    """[N, 224]."""
    xp = w.xp
    before = w.close[:, :-1]
    # No price falls to a level of zero or less; the least positive one stands for it.
    levels = xp.maximum(_levels(w), w.constant(np.array(1e-300)))
    latest = slice(-_RANGES, None)
    above = [w.high[:, latest], w.close[:, latest], w.open[:, 1 - _RANGES :], w.close[:, 1:], levels]
    below = [w.low[:, latest], w.open[:, latest], before[:, 1 - _RANGES :], before, w.last_close, w.last_close]
    return xp.log(xp.concat(above, axis=1) / xp.concat(below, axis=1))


@shared
def _distances(w: Window) -> Array:
    """How far target and stop are from the last close, in log price [N, 2]; 0 where it has passed them."""
    xp = w.xp
    ahead = _logarithms(w)[:, -2:] * _sides(w)
    return xp.minimum(xp.maximum(ahead, w.constant(np.array(0.0))), w.constant(np.array(_FARTHEST)))


@shared
def _spreads(w: Window) -> Array:
    """Volatility times the square root of the horizon, [N, 8]: plain, then at the seven nodes; NaN where none is known.

    An estimate of zero (no range in twenty bars, say) tells nothing of what may come and is left out of the mean.
    """
    xp = w.xp
    logs = _logarithms(w)
    squares = xp.where(w.constant(_NEEDED) <= _count(w), logs * logs, 0.0)
    sums = xp.matmul(squares, w.constant(_WEIGHTS.T))
    variances = sums / xp.take(w.constant(_COUNTS), _count_index(w), axis=0)
    known = variances > 0.0
    halves = 0.5 * xp.log(xp.where(known, variances, 1.0))
    chosen = w.constant(np.array([[1.0]] * _ESTIMATORS + [[0.0]] * 3))
    plain = xp.matmul(halves, chosen) / xp.matmul(w.as_float(known), chosen)
    longer = xp.where(known[:, _ESTIMATORS : _ESTIMATORS + 1], halves[:, _ESTIMATORS : _ESTIMATORS + 1], plain)
    shifts = SHIFTS + math.log(w.horizon) / 2
    return xp.exp(plain + w.constant(REVERTED) * (longer - plain) + w.constant(shifts))


@shared
def _probabilities(w: Window) -> Array:
    """Target, stop and neither, each corrected and plain, [N, 6]."""
    found = corrected(_distances(w), _spreads(w), w.horizon, w.xp)
    return w.xp.where(_defined(w), found.ends, math.nan)


@shared
def _defined(w: Window) -> Array:
    """Where a label could come to be, and volatility is known, [N, 1]."""
    gain = (_levels(w) - _price(w)) * _sides(w) > 0.0
    spread = _spreads(w)[:, :1]
    known = (_count(w) >= LEAST_BARS) & (spread > 0.0) & (spread < math.inf)
    return gain[:, :1] & gain[:, 1:] & (_price(w) > 1e-100) & known


_SOURCE: Final = "heat equation on an interval; Karlin and Taylor (1975), Borodin and Salminen (2002)"
_OWN: Final = "own, on the plain one; Gauss-Hermite of Abramowitz and Stegun (1964), 25.4.46"
_MISSING: Final = "NaN where a label is undefined or no price has moved"


@feature(
    "E[P] - k E[P], P as first_passage_target_plain at s' exp(0.15 x - 0.01125) instead of s, x standard normal (7 "
    "nodes), s' = s (s127 / s)^0.3, k = mean over u in (0, 1) of 2 Phi(-L / (s' sqrt(u))); k E[P] at most what goes "
    "on to the stop by the horizon, E[2 Phi(-b / (s sqrt(T)))] less P(stop first), and just that where T is 1",
    source=_OWN,
    range="[0, 1]",
    bars=LEAST_BARS,
    missing=_MISSING,
)
def first_passage_target(w: Window) -> Array:
    return _probabilities(w)[:, 0:1]


@feature(
    "first_passage_stop_plain, averaged as first_passage_target is, and what k takes from that one",
    source=_OWN,
    range="[0, 1]",
    bars=LEAST_BARS,
    missing=_MISSING,
)
def first_passage_stop(w: Window) -> Array:
    return _probabilities(w)[:, 2:3]


@feature(
    "1 - first_passage_target - first_passage_stop", source=_OWN, range="[0, 1]", bars=LEAST_BARS, missing=_MISSING
)
def first_passage_neither(w: Window) -> Array:
    return _probabilities(w)[:, 4:5]


@feature(
    "b/L + 2/pi sum over n of (-1)^n / n sin(n pi b/L) exp(-n^2 pi^2 s^2 T / (2 L^2)); 1 where C has passed the target",
    source=_SOURCE,
    range="[0, 1]",
    bars=LEAST_BARS,
    missing=_MISSING,
)
def first_passage_target_plain(w: Window) -> Array:
    return _probabilities(w)[:, 1:2]


@feature(
    "first_passage_target_plain with a and b exchanged; 1 where C has passed the stop",
    source=_SOURCE,
    range="[0, 1]",
    bars=LEAST_BARS,
    missing=_MISSING,
)
def first_passage_stop_plain(w: Window) -> Array:
    return _probabilities(w)[:, 3:4]


@feature(
    "1 - first_passage_target_plain - first_passage_stop_plain",
    source=_SOURCE,
    range="[0, 1]",
    bars=LEAST_BARS,
    missing=_MISSING,
)
def first_passage_neither_plain(w: Window) -> Array:
    return _probabilities(w)[:, 5:6]
