"""Triangles: highs and lows that close in on each other, and then a close outside."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from demo.patterns.chart import Chart, Setup, setup, swing_stop
from demo.patterns.swings import Swings

REACH: Final = 80
"""Bars within which all four corners lie."""
MIN_BARS: Final = 15
FLAT: Final = 0.5
"""In ATRs: a side that rises or falls less than that over the triangle is flat."""
MAX_WIDTH_LEFT: Final = 0.75
"""Of the width at the first corner: how much may be left at the break."""

PATTERN_TYPES: Final = frozenset({"ascending_triangle", "descending_triangle", "symmetrical_triangle"})


@dataclass(frozen=True, slots=True)
class Line:
    """The straight line through two swings."""

    at: int
    price: float
    slope: float

    @classmethod
    def through(cls, swings: Swings) -> Line:
        """Through the last two of ``swings``."""
        at, price = swings.at[-2:], swings.price[-2:]
        return cls(int(at[0]), float(price[0]), float((price[1] - price[0]) / (at[1] - at[0])))

    def level(self, at: int) -> float:
        return self.price + self.slope * (at - self.at)


def find(chart: Chart) -> Iterator[Setup]:
    """Every triangle, at the first bar that closes outside of it."""
    for direction in (1, -1):
        facing = chart.facing(direction)
        # Nothing breaks out upwards by closing lower: half of the bars need no look.
        for at in np.flatnonzero(np.diff(facing.close) > 0) + 1:
            found = _break_upwards(facing, int(at))
            if found is not None:
                yield found


def _break_upwards(chart: Chart, at: int) -> Setup | None:
    """The triangle whose upper side bar ``at`` is the first to close above; None when there is none.

    Its sides are the lines through the last two major highs and the last two major lows known before that bar. The
    upper one falls or is flat, the lower one rises or is flat, not both are flat, and what is left of the width is
    three quarters at most. The target is the measured move: the width at the first corner, from the break. The stop
    lies below the latest swing low. The shape is full where the sides nearly meet.
    """
    highs, lows = chart.major_highs.known(at - 1, REACH), chart.major_lows.known(at - 1, REACH)
    if len(highs) < 2 or len(lows) < 2:
        return None
    upper, lower = Line.through(highs), Line.through(lows)
    first, last = min(upper.at, lower.at), int(max(highs.at[-1], lows.at[-1]))
    name = _name(chart, upper, lower, at, at - first)
    if name is None or at - first < MIN_BARS or chart.close[at] <= upper.level(at):
        return None
    between = np.arange(last, at)
    if (chart.close[last:at] > upper.price + upper.slope * (between - upper.at)).any():
        return None
    width, left = upper.level(first) - lower.level(first), upper.level(at) - lower.level(at)
    if not 0 < left <= MAX_WIDTH_LEFT * width:
        return None
    stop = swing_stop(chart, at, fallback=lower.level(at))
    return setup(chart, name, first, at, upper.level(at) + width, stop, shape=1 - left / width)


def _name(chart: Chart, upper: Line, lower: Line, at: int, bars: int) -> str | None:
    """Which triangle the two sides make on the chart as people see it; None when they make none."""
    flat = FLAT * float(chart.atr[at])
    falls, rises = -upper.slope * bars, lower.slope * bars
    if falls < -flat or rises < -flat or max(falls, rises) <= flat:
        return None
    if falls > flat and rises > flat:
        return "symmetrical_triangle"
    upright = rises > flat
    return "ascending_triangle" if upright == (chart.direction == 1) else "descending_triangle"
