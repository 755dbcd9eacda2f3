"""Curves of a ranking with bands from resampled blocks of time: ROC, precision and recall, lift.

A curve takes probabilities [N], outcomes [N] (0 or 1) and row weights [N], and gives its values on ``GRID``, NaN where
it is undefined.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Curve = Callable[[Floats, Floats, Floats], Floats]

GRID: Final = np.linspace(0, 1, 51)[1:]
_INTERVAL: Final = (0.025, 0.975)


@dataclass(frozen=True, slots=True)
class Band:
    """A curve on ``GRID`` with its 95 % band."""

    middle: Floats
    low: Floats
    high: Floats


def band(curve: Curve, p: Floats, hit: Floats, weights: Floats) -> Band | None:
    """``weights`` [resamples, N] say how often each row counts in each resample. None where the curve is undefined."""
    middle = curve(p, hit, np.ones(len(p)))
    draws = np.array([curve(p, hit, row) for row in weights])
    draws = draws[np.isfinite(draws).all(axis=1)]
    if not len(draws) or not np.isfinite(middle).all():
        return None
    low, high = np.quantile(draws, _INTERVAL, axis=0)
    return Band(middle, low, high)


def _cumulated(p: Floats, hit: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Weight of the positives and of all rows among the highest answers, row by row; equal answers go together."""
    order = np.argsort(-p, kind="stable")
    last = np.flatnonzero(np.diff(-p[order], append=np.inf))
    w = weights[order]
    return np.cumsum(w * hit[order])[last], np.cumsum(w)[last]


def roc_curve(p: Floats, hit: Floats, weights: Floats) -> Floats:
    """True positive rate at the false positive rates of the grid."""
    positive, total = _cumulated(p, hit, weights)
    other = total - positive
    if positive[-1] <= 0 or other[-1] <= 0:
        return np.full(len(GRID), np.nan)
    rates = np.append(0, other / other[-1]), np.append(0, positive / positive[-1])
    return np.asarray(np.interp(GRID, *rates), np.float64)


def precision_curve(p: Floats, hit: Floats, weights: Floats) -> Floats:
    """Precision where the recalls of the grid are first reached."""
    positive, total = _cumulated(p, hit, weights)
    if positive[-1] <= 0:
        return np.full(len(GRID), np.nan)
    at = np.minimum(np.searchsorted(positive / positive[-1], GRID - 1e-12), len(positive) - 1)
    return np.asarray(positive[at] / np.maximum(total[at], 1e-12))


def lift_curve(p: Floats, hit: Floats, weights: Floats) -> Floats:
    """Share of positives among the highest answers over their share of all rows."""
    positive, total = _cumulated(p, hit, weights)
    if positive[-1] <= 0:
        return np.full(len(GRID), np.nan)
    among = np.interp(GRID, np.append(0, total / total[-1]), np.append(0, positive / positive[-1]))
    return np.asarray(among / GRID)
