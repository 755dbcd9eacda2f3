"""The application of the demo: finds chart patterns and inserts them. It knows nothing of machine learning.

It sends what such a client sends: the pattern, its levels, and ``confidence`` by a rule of its own. It never names a
column that scoring writes. Whatever it says of a bar it says from that bar and earlier ones.

**Levels** come from the chart: :mod:`demo.patterns` has the definitions. Stops lie beyond swings, targets at the next
swing or at the measured move, so reward and risk differ from row to row. Support and resistance are the latest swing
low below the entry and the latest swing high above it, among the last 60 bars; there may be none.

**Confidence** is made as such applications make it: a base for each kind of pattern (50 to 60 %), and points on top for
volume, for the trend, for a shape like the textbook's, and for a reward that is twice the risk. Nothing was fitted to
data, it is no probability, and it is typically too high: a target that is twice as far away as the stop is reached
less often, and here it counts as an argument for the pattern.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import psycopg
from psycopg.types.json import Jsonb

from demo.market import CLOSE, TIMEFRAME, Series, open_of_bar
from demo.patterns import CANDLESTICKS, Chart, Setup, find_setups
from demo.patterns.chart import SWING_REACH, WARM_UP, latest

_BASE_CONFIDENCE: Final = {"double_bottom": 0.6, "double_top": 0.6} | dict.fromkeys(CANDLESTICKS, 0.5)
_OTHER_BASE: Final = 0.55
_POINTS: Final = 0.1
_CONFIDENCE_RANGE: Final = (0.3, 0.95)
_SECTOR_BARS: Final = 5


@dataclass(frozen=True, slots=True)
class Pattern:
    """One row of ``public.pattern_events`` as the application inserts it; the fields are the columns."""

    symbol: str
    timeframe: str
    pattern_type: str
    detected_at: datetime
    started_at: datetime
    direction: int
    support: float | None
    resistance: float | None
    target: float | None
    entry: float
    stoploss: float | None
    confidence: float
    metadata: Mapping[str, object]


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
    chart = Chart.of(series)
    found = [_as_pattern(series, chart, setup, peers) for setup in find_setups(chart)]
    return sorted(found, key=lambda pattern: (pattern.detected_at, pattern.pattern_type))


def rule_confidence(chart: Chart, setup: Setup) -> float:
    """What a chartist's checklist makes of a pattern, 0.3 to 0.95; see the top of this module.

    To the base come up to ten points in either direction for volume against its 20-bar average (full at twice that or
    at none), for the close on the pattern's side of its own 20-bar average (full at 3 ATRs) and for the shape; and ten
    points where the reward is twice the risk or more.
    """
    at = setup.at
    arguments = (
        chart.volume[at] / chart.average_volume[at] - 1 if chart.average_volume[at] > 0 else 0.0,
        setup.direction * (chart.close[at] - chart.average_close[at]) / (3 * chart.atr[at]),
        2 * setup.shape - 1,
        1.0 if setup.reward_to_risk >= 2 else 0.0,
    )
    base = _BASE_CONFIDENCE.get(setup.pattern_type, _OTHER_BASE)
    return round(float(np.clip(base + _POINTS * np.clip(arguments, -1, 1).sum(), *_CONFIDENCE_RANGE)), 4)


def _as_pattern(series: Series, chart: Chart, setup: Setup, peers: Sequence[Series]) -> Pattern:
    context = _market_context(int(series.ts[setup.at]), peers)
    return Pattern(
        symbol=series.symbol,
        timeframe=TIMEFRAME,
        pattern_type=setup.pattern_type,
        detected_at=datetime.fromtimestamp(int(series.ts[setup.at]), UTC),
        started_at=datetime.fromtimestamp(open_of_bar(int(series.ts[setup.first])), UTC),
        direction=setup.direction,
        support=latest(chart.lows.known(setup.at, SWING_REACH), below=setup.entry),
        resistance=latest(chart.highs.known(setup.at, SWING_REACH), above=setup.entry),
        target=setup.target,
        entry=setup.entry,
        stoploss=setup.stop,
        confidence=rule_confidence(chart, setup),
        metadata={"market": context} if context else {},
    )


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
