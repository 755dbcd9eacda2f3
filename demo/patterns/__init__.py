"""Chart patterns, found as charting applications find them: by geometry, from the bars up to the one they end on.

Every detector is a generator ``find(chart)`` of :class:`~demo.patterns.chart.Setup`. It is written for the bullish
case; the bearish one is the same on the chart turned upside down (:meth:`~demo.patterns.chart.Chart.facing`). Distances
are measured in ATRs, so a detector means the same on a calm stock and on a wild one.
"""

from __future__ import annotations

from collections.abc import Iterator

from demo.patterns import breakouts, candlesticks, doubles, triangles
from demo.patterns.chart import WARM_UP, Chart, Setup
from demo.patterns.swings import Swings

__all__ = ["CANDLESTICKS", "PATTERN_TYPES", "Chart", "Setup", "Swings", "find_setups"]

CANDLESTICKS = candlesticks.PATTERN_TYPES
PATTERN_TYPES = CANDLESTICKS | breakouts.PATTERN_TYPES | doubles.PATTERN_TYPES | triangles.PATTERN_TYPES


def find_setups(chart: Chart) -> Iterator[Setup]:
    """Everything that every detector finds from the warm-up on, one detector after the other."""
    for detector in (candlesticks, breakouts, doubles, triangles):
        yield from (one for one in detector.find(chart) if one.at >= WARM_UP)
