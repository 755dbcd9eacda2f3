"""What the detectors look at, what they give, and the rules for levels that they share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import talib
from numpy.typing import NDArray

from demo.market import CLOSE, HIGH, LOW, OPEN, VOLUME, Series
from demo.patterns.swings import Swings, swing_highs

Floats = NDArray[np.float64]

WARM_UP: Final = 20
"""Bars before the first pattern: the longest average that the application asks for."""
SWING_REACH: Final = 60
"""How many bars back a swing still counts as support or resistance."""
MIN_DISTANCE: Final = 0.5
"""In ATRs: no target and no stop is nearer to the entry."""
MAX_RISK: Final = 4.0
"""In ATRs: no stop is farther from the entry."""
_STOP_MARGIN: Final = 0.1
_MINOR_SIDE: Final = 2
_MAJOR_SIDE: Final = 4


@dataclass(frozen=True, slots=True)
class Chart:
    """One series with what the rules ask for; every value at bar i is from bars 0..i, swings apart.

    Minor swings (two bars on either side) are support and resistance, major ones (four) are corners of patterns. A
    swing is known late: :meth:`Swings.known` says which ones are. ``direction`` is -1 on a chart turned upside down,
    where every price has its sign changed.
    """

    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    atr: Floats
    average_close: Floats
    average_volume: Floats
    highs: Swings
    lows: Swings
    major_highs: Swings
    major_lows: Swings
    direction: int = 1

    @classmethod
    def of(cls, series: Series) -> Chart:
        """The chart of a series of more than :data:`WARM_UP` bars."""
        open_, high, low, close, volume = (
            np.ascontiguousarray(series.bars[:, column]) for column in (OPEN, HIGH, LOW, CLOSE, VOLUME)
        )
        return cls(
            open=open_,
            high=high,
            low=low,
            close=close,
            volume=volume,
            atr=talib.ATR(high, low, close, 14),
            average_close=talib.SMA(close, WARM_UP),
            average_volume=talib.SMA(volume, WARM_UP),
            highs=swing_highs(high, _MINOR_SIDE),
            lows=swing_highs(-low, _MINOR_SIDE).negated(),
            major_highs=swing_highs(high, _MAJOR_SIDE),
            major_lows=swing_highs(-low, _MAJOR_SIDE).negated(),
        )

    def facing(self, direction: int) -> Chart:
        """The chart itself for 1; for -1 upside down, so that what is bearish here is bullish there."""
        if direction == 1:
            return self
        return replace(
            self,
            open=-self.open,
            high=-self.low,
            low=-self.high,
            close=-self.close,
            average_close=-self.average_close,
            highs=self.lows.negated(),
            lows=self.highs.negated(),
            major_highs=self.major_lows.negated(),
            major_lows=self.major_highs.negated(),
            direction=-self.direction,
        )

    def __len__(self) -> int:
        return len(self.close)


@dataclass(frozen=True, slots=True)
class Setup:
    """A pattern with its levels in prices: it spans bars ``first`` to ``at``, and is known at the close of ``at``.

    ``shape`` says how much like the textbook it is, from 0 to 1.
    """

    pattern_type: str
    first: int
    at: int
    direction: int
    entry: float
    target: float
    stop: float
    shape: float

    @property
    def reward_to_risk(self) -> float:
        return abs(self.target - self.entry) / abs(self.entry - self.stop)


def setup(
    chart: Chart, pattern_type: str, first: int, at: int, target: float, stop: float, shape: float
) -> Setup | None:
    """The setup with these levels of ``chart``, turned back; None when there is nothing to gain.

    The entry is the close of bar ``at``. A target nearer than :data:`MIN_DISTANCE` is not worth a trade, and neither is
    one that is no price any more. The stop is moved to keep the risk between :data:`MIN_DISTANCE` and
    :data:`MAX_RISK`.
    """
    entry, atr = float(chart.close[at]), float(chart.atr[at])
    if not target - entry >= MIN_DISTANCE * atr > 0:
        return None
    risk = min(max(entry - stop, MIN_DISTANCE * atr), MAX_RISK * atr)
    side = chart.direction
    price, target, stop = side * entry, side * float(target), side * (entry - risk)
    if min(target, stop) <= 0:
        return None
    return Setup(pattern_type, first, at, side, price, target, stop, shape=float(np.clip(shape, 0.0, 1.0)))


def swing_stop(chart: Chart, at: int, fallback: float) -> float:
    """A tenth of an ATR below the latest swing low known at bar ``at`` and below its close; else ``fallback``."""
    below = latest(chart.lows.known(at, SWING_REACH), below=float(chart.close[at]))
    return fallback if below is None else below - _STOP_MARGIN * float(chart.atr[at])


def next_resistance(chart: Chart, at: int) -> float | None:
    """The nearest swing high known at bar ``at`` that is worth a trade from its close; None when there is none."""
    known = chart.highs.known(at, SWING_REACH).price
    above = known[known >= chart.close[at] + MIN_DISTANCE * chart.atr[at]]
    return float(above.min()) if len(above) else None


def latest(swings: Swings, *, below: float = np.inf, above: float = -np.inf) -> float | None:
    """The price of the latest of ``swings`` that lies between the two bounds."""
    between = swings.price[(swings.price < below) & (swings.price > above)]
    return float(between[-1]) if len(between) else None
