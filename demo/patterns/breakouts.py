"""Breakouts: the first close beyond a trading range."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from demo.patterns.chart import WARM_UP, Chart, Setup, setup, swing_stop

RANGE_BARS: Final = 20
MAX_HEIGHT: Final = 7.0
"""In ATRs: a range higher than that is a trend."""

PATTERN_TYPES: Final = frozenset({"breakout", "breakdown"})


def find(chart: Chart) -> Iterator[Setup]:
    """Every breakout above, and every breakdown below, a range of 20 bars."""
    for direction, name in ((1, "breakout"), (-1, "breakdown")):
        yield from _find_upward(chart.facing(direction), name)


def _find_upward(chart: Chart, name: str) -> Iterator[Setup]:
    """The bars that close above the high of the 20 bars before them, where those are no higher than seven ATRs.

    Each is the first such close: the bar before closed within its own range. The target is the measured move, the
    height of the range put on top of it. The stop lies below the latest swing low, or in the middle of the range where
    that has none. The shape is full when the range is narrow.
    """
    if len(chart) <= RANGE_BARS + 1:
        return
    tops = np.lib.stride_tricks.sliding_window_view(chart.high, RANGE_BARS).max(axis=1)
    bottoms = np.lib.stride_tricks.sliding_window_view(chart.low, RANGE_BARS).min(axis=1)
    beyond = np.zeros(len(chart), dtype=np.bool_)
    beyond[RANGE_BARS:] = chart.close[RANGE_BARS:] > tops[:-1]
    for at in np.flatnonzero(beyond[1:] & ~beyond[:-1]) + 1:
        top, bottom = float(tops[at - RANGE_BARS]), float(bottoms[at - RANGE_BARS])
        height, atr = top - bottom, float(chart.atr[at - 1])
        if at <= WARM_UP or height > MAX_HEIGHT * atr:
            continue
        stop = swing_stop(chart, int(at), fallback=(top + bottom) / 2)
        shape = 1.5 - height / (MAX_HEIGHT * atr)
        found = setup(chart, name, int(at) - RANGE_BARS, int(at), top + height, stop, shape)
        if found is not None:
            yield found
