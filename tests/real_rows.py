"""Every labelled pattern of the demo's market as training would read it, put together without a database.

A share of the rows loses the start of its series, levels or the rule confidence.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from db_functions.contract import CONTEXT_COLUMNS, WINDOW
from demo.application import Pattern, find_all_patterns
from demo.market import BENCHMARK, HIGH, LOW, SYMBOLS, Series, load_series
from training.dataset import NEGATIVE, NEUTRAL, POSITIVE, Dataset

HORIZON = 20
SHORT_SHARE = HOLED_SHARE = 0.15

Floats = NDArray[np.float64]


@cache
def real_rows() -> Dataset:
    """Every pattern with a whole label window, as the gatherer would give it, some of it then taken away."""
    series = load_series()
    found = [
        (pattern, what)
        for pattern in find_all_patterns(series[symbol] for symbol in SYMBOLS)
        if (what := _outcome(series[pattern.symbol], pattern)) is not None
    ]
    patterns = [pattern for pattern, _ in found]
    outcome = np.array([what.outcome for _, what in found], dtype=np.int8)
    outcome_at = np.array([what.known_at for _, what in found], dtype=np.int64)
    rng = np.random.default_rng(11)
    count = len(patterns)
    bars, market = np.full((2, count, WINDOW, 5), np.nan)
    for row, pattern in enumerate(patterns):
        kept = int(rng.integers(1, WINDOW)) if rng.random() < SHORT_SHARE else WINDOW
        _fill(bars[row], market[row], series[pattern.symbol], series[BENCHMARK], _moment(pattern), kept)
    levels = np.array([[p.support, p.resistance, p.target, p.entry, p.stoploss] for p in patterns], dtype=np.float64)
    levels[rng.random(count) < HOLED_SHARE] = np.nan
    levels[rng.random(levels.shape) < HOLED_SHARE] = np.nan
    rule = np.array([pattern.confidence for pattern in patterns])
    rule[rng.random(count) < HOLED_SHARE] = np.nan
    context = np.full((count, len(CONTEXT_COLUMNS)), np.nan)
    place = CONTEXT_COLUMNS.index("sector_performance")
    for row, pattern in enumerate(patterns):
        context[row, place] = pattern.metadata.get("market", {}).get("sector_performance", np.nan)  # type: ignore[attr-defined]
    detected_at = np.array([_moment(pattern) for pattern in patterns], dtype=np.int64)
    kinds = np.array([pattern.pattern_type for pattern in patterns], dtype=object)
    return Dataset(
        inputs={
            "bars": bars,
            "market_bars": market,
            "levels": levels,
            "rule_confidence": rule,
            "direction": np.array([float(pattern.direction) for pattern in patterns]),
            "duration_s": np.array([(p.detected_at - p.started_at) / timedelta(seconds=1) for p in patterns]),
            "pattern_type": kinds,
            "timeframe": np.array([pattern.timeframe for pattern in patterns], dtype=object),
            "detected_at": detected_at,
            "context": context,
            "history": _history(kinds, detected_at, outcome, outcome_at),
        },
        outcome=outcome,
        detected_at=detected_at,
        outcome_at=outcome_at,
        horizon_at=np.array([what.horizon_at for _, what in found], dtype=np.int64),
        pattern_id=np.arange(count).astype(str).astype(object),
        symbol=np.array([pattern.symbol for pattern in patterns], dtype=object),
        horizon=HORIZON,
    )


def _moment(pattern: Pattern) -> int:
    return int(pattern.detected_at.timestamp())


class _Label(NamedTuple):
    outcome: int
    known_at: int
    horizon_at: int


def _outcome(series: Series, pattern: Pattern) -> _Label | None:
    """What came of a pattern, stop before target within a bar; None while the window is open."""
    start = int(np.searchsorted(series.ts, _moment(pattern), side="right"))
    if start + HORIZON > len(series):
        return None
    high, low = (series.bars[start : start + HORIZON, column] for column in (HIGH, LOW))
    assert pattern.target is not None
    assert pattern.stoploss is not None
    bullish = pattern.direction > 0
    stopped = low <= pattern.stoploss if bullish else high >= pattern.stoploss
    reached = high >= pattern.target if bullish else low <= pattern.target
    decided = np.flatnonzero(stopped | reached)
    end = int(series.ts[start + HORIZON - 1])
    if not len(decided):
        return _Label(NEUTRAL, end, end)
    first = int(decided[0])
    return _Label(NEGATIVE if stopped[first] else POSITIVE, int(series.ts[start + first]), end)


def _fill(bars: Floats, market: Floats, series: Series, benchmark: Series, at: int, kept: int) -> None:
    """The newest ``kept`` bars at ``at`` or before, and the benchmark's of the same moments, at the arrays' end."""
    stop = int(np.searchsorted(series.ts, at, side="right"))
    window = slice(max(0, stop - kept), stop)
    ts = series.ts[window]
    bars[-len(ts) :] = series.bars[window]
    place = np.searchsorted(benchmark.ts, ts)
    there = benchmark.ts[np.minimum(place, len(benchmark) - 1)] == ts
    market[np.flatnonzero(there) - len(ts)] = benchmark.bars[place[there]]


def _history(
    kinds: NDArray[np.object_], detected_at: NDArray[np.int64], outcome: NDArray[np.int8], outcome_at: NDArray[np.int64]
) -> Floats:
    """Success rate and count of each pattern's type among the outcomes known before it."""
    rows_of = defaultdict(list)
    for row, kind in enumerate(kinds):
        rows_of[kind].append(row)
    history = np.full((len(kinds), 2), np.nan)
    for members in (np.array(rows) for rows in rows_of.values()):
        known = outcome_at[members][None, :] < detected_at[members][:, None]
        count = known.sum(axis=1)
        positives = (known & (outcome[members] == POSITIVE)[None, :]).sum(axis=1)
        history[members, 1] = count
        history[members, 0] = np.where(count > 0, positives / np.maximum(count, 1), np.nan)
    return history
