"""The application of the demo: finds candlestick patterns and inserts them. It knows nothing of machine learning.

It sends what an older client sends: the pattern, its levels, and ``confidence`` by a rule of its own. It never names
a column that scoring writes. Whatever it says of a bar it says from that bar and earlier ones.

**Levels.** Entry is the close of the pattern's last bar. The stop lies a tenth of an ATR (14 bars) beyond the
pattern's low, for a bullish one, or its high; the risk is kept between 1 and 3 ATRs. The target is as far from entry
as the stop is. Equal reward and risk makes positive and negative outcomes about equally common, so a fair
probability has room on both sides of the blending threshold. Had the reward been twice the risk, one fair
probability in a hundred would pass 0.55, and there would be little to see.
Support and resistance are the latest swing low below the entry and the latest swing high above it, among the last 60
bars; a swing is a bar whose low (high) is the extreme of itself and two bars on either side, so it is known two bars
late. There may be none.

**Confidence.** 0.5, plus up to 0.1 in either direction for each of three things, each linear and cut at its ends:
close on the pattern's side of its 20-bar average (full at 3 ATRs); volume over its 20-bar average (full at twice that
or at none); height of the pattern (full at 2 ATRs or none, nothing at 1). These are a chartist's usual arguments.
Nothing was fitted to the data, and the number was never meant as a probability: that is the point of the demo.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import psycopg
import talib
from numpy.typing import NDArray
from psycopg.types.json import Jsonb

from demo.market import CLOSE, HIGH, LOW, TIMEFRAME, VOLUME, Series, open_of_bar

Floats = NDArray[np.float64]

WARM_UP: Final = 20
"""Bars before the first pattern: the longest average of the rules."""
_SWING_REACH: Final = 60
_SWING_SIDE: Final = 2
_SECTOR_BARS: Final = 5


@dataclass(frozen=True, slots=True)
class Detector:
    """One TA-Lib recogniser: how many bars the pattern spans, and its direction where TA-Lib gives no sign."""

    pattern_type: str
    function: str
    bars: int
    direction: int | None = None


DETECTORS: Final = (
    Detector("advance_block", "CDLADVANCEBLOCK", 3),
    Detector("belt_hold", "CDLBELTHOLD", 1),
    Detector("dark_cloud_cover", "CDLDARKCLOUDCOVER", 2),
    Detector("doji_star", "CDLDOJISTAR", 2),
    Detector("dragonfly_doji", "CDLDRAGONFLYDOJI", 1, direction=1),
    Detector("engulfing", "CDLENGULFING", 2),
    Detector("evening_star", "CDLEVENINGSTAR", 3),
    Detector("gravestone_doji", "CDLGRAVESTONEDOJI", 1, direction=-1),
    Detector("hammer", "CDLHAMMER", 1),
    Detector("hanging_man", "CDLHANGINGMAN", 1),
    Detector("harami", "CDLHARAMI", 2),
    Detector("harami_cross", "CDLHARAMICROSS", 2),
    Detector("homing_pigeon", "CDLHOMINGPIGEON", 2),
    Detector("inverted_hammer", "CDLINVERTEDHAMMER", 1),
    Detector("matching_low", "CDLMATCHINGLOW", 2),
    Detector("morning_star", "CDLMORNINGSTAR", 3),
    Detector("piercing", "CDLPIERCING", 2),
    Detector("shooting_star", "CDLSHOOTINGSTAR", 1),
    Detector("three_inside", "CDL3INSIDE", 3),
    Detector("three_outside", "CDL3OUTSIDE", 3),
    Detector("three_white_soldiers", "CDL3WHITESOLDIERS", 3),
    Detector("thrusting", "CDLTHRUSTING", 2),
)
"""TA-Lib signs its answer by direction; it answers plain 100 for both special dojis, whose usual reading is given."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """One row of ``public.pattern_events`` as the application inserts it; the fields are the columns."""

    symbol: str
    timeframe: str
    pattern_type: str
    detected_at: datetime
    started_at: datetime
    support: float | None
    resistance: float | None
    target: float
    entry: float
    stoploss: float
    confidence: float
    metadata: Mapping[str, object]

    @property
    def direction(self) -> int:
        """1 bullish, -1 bearish; not sent, the database reads it off target and entry."""
        return 1 if self.target > self.entry else -1


def find_all_patterns(stocks: Iterable[Series]) -> list[Pattern]:
    """Every pattern of every stock, in the order in which they became known; each stock's peers are the others."""
    members = list(stocks)
    found = [
        pattern for own in members for pattern in find_patterns(own, [peer for peer in members if peer is not own])
    ]
    return sorted(found, key=lambda pattern: (pattern.detected_at, pattern.symbol, pattern.pattern_type))


def find_patterns(series: Series, peers: Sequence[Series] = ()) -> list[Pattern]:
    """The patterns of one stock, at most one of a type on a bar, oldest first.

    With ``peers``, each carries ``metadata -> market -> sector_performance``: their mean return over 5 bars, as a
    fraction. It is the only value of that context which this data really holds, so the others stay absent.
    """
    if len(series) <= WARM_UP:
        return []
    study = _Study(series)
    prices = [np.ascontiguousarray(series.bars[:, column]) for column in range(4)]
    found: list[Pattern] = []
    for detector in DETECTORS:
        answers = getattr(talib, detector.function)(*prices)
        for at in np.flatnonzero(answers):
            if at >= WARM_UP:
                direction = detector.direction or int(np.sign(answers[at]))
                found.append(study.describe(detector, int(at), direction, _market_context(int(series.ts[at]), peers)))
    return sorted(found, key=lambda pattern: (pattern.detected_at, pattern.pattern_type))


class _Study:
    """One series with the averages that the application's rules ask for; every value at bar i is from bars 0..i."""

    def __init__(self, series: Series) -> None:
        self._series = series
        high, low, close, volume = (np.ascontiguousarray(series.bars[:, c]) for c in (HIGH, LOW, CLOSE, VOLUME))
        self._atr: Floats = talib.ATR(high, low, close, 14)
        self._average_close: Floats = talib.SMA(close, WARM_UP)
        self._average_volume: Floats = talib.SMA(volume, WARM_UP)
        self._swing_lows = _peaks(-low)
        self._swing_highs = _peaks(high)

    def describe(self, detector: Detector, at: int, direction: int, context: Mapping[str, float]) -> Pattern:
        """The row for a pattern whose last bar is number ``at``."""
        ts, bars, atr = self._series.ts, self._series.bars, self._atr[at]
        first = at - detector.bars + 1
        low, high = bars[first : at + 1, LOW].min(), bars[first : at + 1, HIGH].max()
        entry = float(bars[at, CLOSE])
        beyond = (entry - low if direction > 0 else high - entry) + 0.1 * atr
        risk = float(np.clip(beyond, atr, 3 * atr))
        return Pattern(
            symbol=self._series.symbol,
            timeframe=TIMEFRAME,
            pattern_type=detector.pattern_type,
            detected_at=datetime.fromtimestamp(int(ts[at]), UTC),
            started_at=datetime.fromtimestamp(open_of_bar(int(ts[first])), UTC),
            support=_latest_before(at, self._swing_lows & (bars[:, LOW] < entry), bars[:, LOW]),
            resistance=_latest_before(at, self._swing_highs & (bars[:, HIGH] > entry), bars[:, HIGH]),
            target=entry + direction * risk,
            entry=entry,
            stoploss=entry - direction * risk,
            confidence=self._confidence(at, direction, float(high - low)),
            metadata={"market": context} if context else {},
        )

    def _confidence(self, at: int, direction: int, height: float) -> float:
        close, volume = self._series.bars[at, [CLOSE, VOLUME]]
        arguments = (
            direction * (close - self._average_close[at]) / (3 * self._atr[at]),
            volume / self._average_volume[at] - 1,
            height / self._atr[at] - 1,
        )
        return round(0.5 + 0.1 * float(np.clip(arguments, -1, 1).sum()), 4)


def _peaks(values: Floats) -> NDArray[np.bool_]:
    """Where a value is the greatest of itself and its neighbours on either side; known only when those have come."""
    span = 2 * _SWING_SIDE + 1
    peaks = np.zeros(len(values), dtype=np.bool_)
    inner = slice(_SWING_SIDE, len(values) - _SWING_SIDE)
    peaks[inner] = np.lib.stride_tricks.sliding_window_view(values, span).max(axis=1) == values[inner]
    return peaks


def _latest_before(at: int, swings: NDArray[np.bool_], levels: Floats) -> float | None:
    """The latest of ``levels`` marked in ``swings`` that is already known at bar ``at``."""
    start = max(0, at - _SWING_REACH)
    known = np.flatnonzero(swings[start : at - _SWING_SIDE + 1])
    return float(levels[start + known[-1]]) if len(known) else None


def _market_context(ts: int, peers: Sequence[Series]) -> dict[str, float]:
    returns = []
    for peer in peers:
        last = int(np.searchsorted(peer.ts, ts, side="right")) - 1
        if last >= _SECTOR_BARS:
            returns.append(peer.bars[last, CLOSE] / peer.bars[last - _SECTOR_BARS, CLOSE] - 1)
    return {"sector_performance": round(float(np.mean(returns)), 6)} if returns else {}


_COPY_BARS = "COPY public.price_bars (symbol, timeframe, ts, open, high, low, close, volume) FROM STDIN"
_PATTERN_COLUMNS = [field.name for field in fields(Pattern)]
_INSERT_PATTERN = (
    f"INSERT INTO public.pattern_events ({', '.join(_PATTERN_COLUMNS)}) "
    f"VALUES ({', '.join(['%s'] * len(_PATTERN_COLUMNS))})"
)


def insert_bars(conn: psycopg.Connection[Any], series: Series) -> int:
    """Copy the bars of one series into ``public.price_bars``; the caller commits. Returns how many."""
    with conn.cursor() as cursor, cursor.copy(_COPY_BARS) as copy:
        for ts, bar in zip(series.ts.tolist(), series.bars.tolist(), strict=True):
            copy.write_row((series.symbol, TIMEFRAME, datetime.fromtimestamp(ts, UTC), *bar))
    return len(series)


def insert_patterns(conn: psycopg.Connection[Any], patterns: Iterable[Pattern]) -> int:
    """Insert patterns by plain INSERTs, as any client would; the caller commits. Returns how many."""
    rows = [_as_row(pattern) for pattern in patterns]
    with conn.cursor() as cursor:
        cursor.executemany(_INSERT_PATTERN, rows)
    return len(rows)


def _as_row(pattern: Pattern) -> list[object]:
    values = (getattr(pattern, name) for name in _PATTERN_COLUMNS)
    return [Jsonb(value) if isinstance(value, dict) else value for value in values]
