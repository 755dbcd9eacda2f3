"""The walk without drift of one pattern: its volatility, its sides, and first passage for any pairs of levels.

``training.features.first_passage`` computes the same inside the graph, for the one pair of each row; tests hold the two
together. Here one row has many pairs, in NumPy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from db_functions.contract import LEVEL_COLUMNS
from db_functions.passage import REVERTED, SHIFTS, corrected_pairs

Floats = NDArray[np.float64]

LEAST_BARS: Final = 15
"""A stand-in level needs 14 true ranges; with fewer returns than that, volatility is a guess."""
STAND_IN_ATRS: Final = 2.0
STAND_IN_BARS: Final = 14
_FARTHEST: Final = 1000.0
_STOP, _NEITHER, _TARGET = 1, 2, 0


@dataclass(frozen=True, slots=True)
class Passage:
    """First passage of P pairs: ``p`` [P, 3] of negative, neutral and positive, NaN where undefined.

    ``distances`` [P, 2] are those of target and stop from the last close, in log price. ``middle`` [P] is the mean log
    price at the horizon, from the last close and in the pattern's direction, where neither was touched.
    """

    distances: Floats
    p: Floats
    middle: Floats


@dataclass(frozen=True, slots=True)
class Walk:
    """What first passage knows of one pattern. ``spreads`` [1, 8]: volatility over the horizon, plain and at the nodes.

    ``price`` is what labels measure from: the entry, or the last close; ``reach`` how far a stand-in is from it.
    """

    close: float
    price: float
    side: float
    reach: float
    spreads: Floats
    horizon: int

    @classmethod
    def of(cls, inputs: Mapping[str, Any], horizon: int) -> Walk | None:
        """From the contract's inputs of one row (its first); None where first passage is undefined for every pair."""
        bars, side = _valid(inputs["bars"][0]), float(inputs["direction"][0])
        if len(bars) < LEAST_BARS or side not in (1.0, -1.0):
            return None
        entry = float(inputs["levels"][0, LEVEL_COLUMNS.index("entry")])
        close = float(bars[-1, 3])
        price = entry if abs(entry) < 1e100 else close
        spreads = _spreads(bars, horizon)
        if spreads is None or not price > 1e-100:
            return None
        before, high, low = bars[-STAND_IN_BARS - 1 : -1, 3], bars[-STAND_IN_BARS:, 1], bars[-STAND_IN_BARS:, 2]
        reach = STAND_IN_ATRS * float(np.mean(np.maximum(high, before) - np.minimum(low, before)))
        return cls(close, price, side, reach, spreads, horizon)

    @property
    def spread(self) -> float:
        """Plain volatility over the horizon, in log price."""
        return float(self.spreads[0, 0])

    def level(self, distance: Floats, sign: float) -> Floats:
        """The prices so far from the last close, in log price: targets with ``sign`` 1, stops with -1."""
        return self.close * np.exp(self.side * sign * distance)

    def passage(self, targets: Floats, stops: Floats) -> Passage:
        """For pairs of prices, [P] each."""
        with np.errstate(all="ignore"):
            given = np.stack([targets, stops], axis=1)
            sides = np.array([self.side, -self.side])
            ahead = np.log(np.maximum(given, 1e-300) / self.close) * sides
            distances = np.clip(ahead, 0.0, _FARTHEST)
            defined = ((given - self.price) * sides > 0).all(axis=1)
            ends, tied = corrected_pairs(distances, self.spreads, self.horizon)
            p = np.where(defined[:, None], ends[:, [_STOP, _NEITHER, _TARGET]], np.nan)
            return Passage(distances, p, _middle(distances, ends, tied))


def _middle(distances: Floats, ends: Floats, tied: Floats) -> Floats:
    """The m of ``P(target) a - P(stop) b + P(neither) m = 0``, with the probabilities before ties are judged.

    The walk is a martingale: optional stopping, Karlin and Taylor, *A First Course in Stochastic Processes* (1975),
    chapter 6.
    """
    a, b = distances.T
    target, stop = ends[:, _TARGET] + tied, ends[:, _STOP] - tied
    neither = ends[:, _NEITHER]
    middle = (stop * b - target * a) / np.where(neither > 1e-12, neither, np.inf)
    held: Floats = np.clip(middle, -b, a)
    return held


def _valid(bars: Floats) -> Floats:
    """The bars that count: those after the newest with a price that labels or logarithms refuse."""
    good = np.isfinite(bars[:, :4].sum(axis=1)) & (bars[:, 2] > 0) & (bars[:, 1] < 1e100)
    refused = np.flatnonzero(~good)
    return bars[refused[-1] + 1 :] if len(refused) else bars


def _spreads(bars: Floats, horizon: int) -> Floats | None:
    """[1, 8]; None where no price has moved."""
    opened, high, low, close = bars[:, :4].T
    moves = np.log(close[1:] / close[:-1])
    ranges, bodies = np.log(high / low)[1:], np.log(close / opened)[1:]
    nights = np.log(opened[1:] / close[:-1])
    weights = 0.94 ** np.arange(min(100, len(moves)))
    within = 0.5 * ranges**2 - (2 * math.log(2) - 1) * bodies**2
    variances = np.array(
        [
            np.mean(moves[-20:] ** 2),
            np.mean(moves[-60:] ** 2),
            np.mean(ranges[-20:] ** 2) / (4 * math.log(2)),
            np.sum(weights * moves[: -len(weights) - 1 : -1] ** 2) / weights.sum(),
            np.mean((nights**2 + within)[-30:]),
        ]
    )
    known = variances[variances > 0]
    if not len(known):
        return None
    plain = float(np.mean(0.5 * np.log(known)))
    longer = 0.5 * math.log(float(np.mean(moves**2))) if moves.any() else plain
    spreads: Floats = np.exp(plain + REVERTED * (longer - plain) + SHIFTS + math.log(horizon) / 2)
    return spreads if 0 < spreads[0, 0] < math.inf else None
