"""Double bottoms and double tops: two turns at one price, and then a close beyond the turn between them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from demo.patterns.chart import Chart, Setup, setup, swing_stop

MIN_APART: Final = 8
MAX_APART: Final = 60
"""Bars between the two lows."""
MAX_WAIT: Final = 30
"""Bars from the second low to the close above the neckline."""
TOLERANCE: Final = 1.0
"""In ATRs: how far the two lows may differ."""
MIN_HEIGHT: Final = 2.0
"""In ATRs: how far the neckline lies above them at least."""

PATTERN_TYPES: Final = frozenset({"double_bottom", "double_top"})


def find(chart: Chart) -> Iterator[Setup]:
    """Every double bottom and double top, at the bar that confirms it."""
    for direction, name in ((1, "double_bottom"), (-1, "double_top")):
        yield from _find_bottoms(chart.facing(direction), name)


def _find_bottoms(chart: Chart, name: str) -> Iterator[Setup]:
    """For each second low the nearest first low that makes a double bottom with it, if that is confirmed in time."""
    lows = chart.major_lows
    confirmed_at = set[int]()
    for second in range(1, len(lows)):
        for first in range(second - 1, -1, -1):
            apart = lows.at[second] - lows.at[first]
            if apart > MAX_APART:
                break
            if apart < MIN_APART:
                continue
            found = _confirmed(chart, name, int(lows.at[first]), int(lows.at[second]))
            if found is not None:
                if found.at not in confirmed_at:
                    yield found
                confirmed_at.add(found.at)
                break


def _confirmed(chart: Chart, name: str, first: int, second: int) -> Setup | None:
    """The double bottom with lows at bars ``first`` and ``second``; None when they make none.

    The neckline is the highest high between them. The first close above it confirms the pattern, unless a close below
    both lows came before, or a bar between them was lower. The target is the measured move: the height of the pattern
    above the neckline. The stop lies below the latest swing low. The shape is full when the lows are
    equal.
    """
    neckline = float(chart.high[first : second + 1].max())
    lowest, difference = min(chart.low[first], chart.low[second]), abs(chart.low[first] - chart.low[second])
    known = second + chart.major_lows.side
    later = chart.close[second + 1 : second + MAX_WAIT + 1]
    above = np.flatnonzero(later > neckline)
    if not len(above) or chart.low[first : second + 1].min() < lowest:
        return None
    at = second + 1 + int(above[0])
    atr = float(chart.atr[at])
    height = neckline - float(lowest)
    if at < known or later[: above[0]].min(initial=np.inf) < lowest:
        return None
    if not atr > 0 or difference > TOLERANCE * atr or height < MIN_HEIGHT * atr:
        return None
    stop = swing_stop(chart, at, fallback=neckline - height / 2)
    return setup(chart, name, first, at, neckline + height, stop, shape=1 - difference / (TOLERANCE * atr))
