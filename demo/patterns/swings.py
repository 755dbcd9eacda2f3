"""Swing highs and lows: the turning points that support, resistance and every larger pattern are made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Swings:
    """Turning points, oldest first: bar numbers ``at`` [S] and prices [S].

    A swing high is a bar whose high is above those of the ``side`` bars before it, and not below those of the ``side``
    bars after it (a swing low likewise), so it becomes known ``side`` bars late.
    """

    at: NDArray[np.intp]
    price: Floats
    side: int

    def known(self, now: int, reach: int) -> Swings:
        """The swings of the last ``reach`` bars that are known at bar ``now``."""
        start = np.searchsorted(self.at, now - reach)
        stop = np.searchsorted(self.at, now - self.side, side="right")
        return Swings(self.at[start:stop], self.price[start:stop], self.side)

    def negated(self) -> Swings:
        """The same turning points on the chart turned upside down."""
        return Swings(self.at, -self.price, self.side)

    def __len__(self) -> int:
        return len(self.at)


def swing_highs(high: Floats, side: int) -> Swings:
    """The swing highs of ``high`` [T]; those of ``-low`` are the swing lows with their sign changed."""
    span = 2 * side + 1
    if len(high) < span:
        return Swings(np.empty(0, dtype=np.intp), np.empty(0), side)
    around, own = np.lib.stride_tricks.sliding_window_view(high, span), high[side : len(high) - side]
    at = np.flatnonzero((own > around[:, :side].max(axis=1)) & (own >= around[:, side + 1 :].max(axis=1))) + side
    return Swings(at, high[at], side)
