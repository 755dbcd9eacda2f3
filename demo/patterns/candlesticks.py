"""Candlestick patterns of one to three bars, as TA-Lib recognises them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import talib

from demo.patterns.chart import WARM_UP, Chart, Setup, next_resistance, setup

_REWARD_TO_RISK: Final = 2.0


@dataclass(frozen=True, slots=True)
class Recogniser:
    """One TA-Lib function: how many bars its pattern spans, and its direction where TA-Lib gives no sign."""

    pattern_type: str
    function: str
    bars: int
    direction: int | None = None


RECOGNISERS: Final = (
    Recogniser("advance_block", "CDLADVANCEBLOCK", 3),
    Recogniser("dark_cloud_cover", "CDLDARKCLOUDCOVER", 2),
    Recogniser("doji_star", "CDLDOJISTAR", 2),
    Recogniser("dragonfly_doji", "CDLDRAGONFLYDOJI", 1, direction=1),
    Recogniser("engulfing", "CDLENGULFING", 2),
    Recogniser("evening_star", "CDLEVENINGSTAR", 3),
    Recogniser("gravestone_doji", "CDLGRAVESTONEDOJI", 1, direction=-1),
    Recogniser("hammer", "CDLHAMMER", 1),
    Recogniser("hanging_man", "CDLHANGINGMAN", 1),
    Recogniser("harami", "CDLHARAMI", 2),
    Recogniser("harami_cross", "CDLHARAMICROSS", 2),
    Recogniser("homing_pigeon", "CDLHOMINGPIGEON", 2),
    Recogniser("inverted_hammer", "CDLINVERTEDHAMMER", 1),
    Recogniser("matching_low", "CDLMATCHINGLOW", 2),
    Recogniser("morning_star", "CDLMORNINGSTAR", 3),
    Recogniser("piercing", "CDLPIERCING", 2),
    Recogniser("shooting_star", "CDLSHOOTINGSTAR", 1),
    Recogniser("three_inside", "CDL3INSIDE", 3),
    Recogniser("three_outside", "CDL3OUTSIDE", 3),
    Recogniser("three_white_soldiers", "CDL3WHITESOLDIERS", 3),
    Recogniser("thrusting", "CDLTHRUSTING", 2),
)
"""TA-Lib signs its answer by direction; it answers plain 100 for both special dojis, whose usual reading is given."""

PATTERN_TYPES: Final = frozenset(recogniser.pattern_type for recogniser in RECOGNISERS)


def find(chart: Chart) -> Iterator[Setup]:
    """Every candlestick pattern of the chart.

    The stop lies beyond the pattern's own extreme. The target is the next swing high on the way (for a bearish one the
    next swing low), or twice the risk where there is none. The shape is full when the pattern is two ATRs high.
    """
    facing = {direction: chart.facing(direction) for direction in (1, -1)}
    for recogniser in RECOGNISERS:
        answers = getattr(talib, recogniser.function)(chart.open, chart.high, chart.low, chart.close)
        for at in np.flatnonzero(answers):
            if at >= WARM_UP:
                direction = recogniser.direction or int(np.sign(answers[at]))
                found = _describe(facing[direction], recogniser, int(at))
                if found is not None:
                    yield found


def _describe(chart: Chart, recogniser: Recogniser, at: int) -> Setup | None:
    first = at - recogniser.bars + 1
    low, high = float(chart.low[first : at + 1].min()), float(chart.high[first : at + 1].max())
    entry, atr = float(chart.close[at]), float(chart.atr[at])
    stop = low - 0.1 * atr
    target = next_resistance(chart, at)
    if target is None:
        target = entry + _REWARD_TO_RISK * max(entry - stop, atr)
    return setup(chart, recogniser.pattern_type, first, at, target, stop, shape=(high - low) / (2 * atr))
