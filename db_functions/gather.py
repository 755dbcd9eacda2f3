"""The one gatherer of model inputs, for training and the worker alike: rows in, arrays out.

Nothing is read after a row's ``detected_at``: bars by ts, outcomes by the day before which they were known.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from db_functions.bars import BarStore, Floats, Ints, Key, Series
from db_functions.contract import CONTEXT_COLUMNS, INPUTS, WINDOW
from db_functions.database import Connection
from db_functions.queries import query

_DAY_US = 86_400_000_000


class Pattern(NamedTuple):
    """One row to score, as the named queries ``claim``, ``backfill_page`` and ``labelled_rows`` give it."""

    id: str
    symbol: str
    timeframe: str
    pattern_type: str
    detected_at_us: int
    duration_s: float | None
    direction: int | None
    levels: tuple[float | None, float | None, float | None, float | None, float | None]
    rule_confidence: float | None
    market: Any
    """``metadata -> 'market'`` as JSON gave it; anything."""

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> Pattern:
        """From the fourteen columns in which every named query gives a pattern."""
        return cls._make([*row[:7], tuple(row[7:12]), row[12], _json(row[13])])


@dataclass(frozen=True, slots=True)
class Gathered:
    """Model inputs of N rows. ``inputs`` has the contract's names; ``bars_seen`` [N] counts bars in each window."""

    inputs: Mapping[str, NDArray[np.generic]]
    bars_seen: Ints

    def __len__(self) -> int:
        return len(self.bars_seen)

    def feed(self, names: Sequence[str], index: Any = slice(None)) -> dict[str, NDArray[np.generic]]:
        """Those inputs that a model asks for, of the rows in ``index``."""
        return {name: self.inputs[name][index] for name in names}

    def hashes(self) -> list[bytes]:
        """Per row the first 16 bytes of the SHA-256 of all inputs, in the contract's order."""
        blocks = []
        for name in INPUTS:
            values = self.inputs[name]
            if values.dtype == object:
                blocks.append([str(value).encode() + b"\0" for value in values])
            else:
                blocks.append([row.tobytes() for row in np.ascontiguousarray(values)])
        return [hashlib.sha256(b"".join(parts)).digest()[:16] for parts in zip(*blocks, strict=True)]


class Gatherer:
    """Gathers inputs over one connection, keeping bars and outcome counts between batches.

    ``history_ttl_s``: how long outcome counts may be kept; they change when labels arrive, at most days late.
    """

    def __init__(self, bars: BarStore | None = None, history_ttl_s: float = 10.0) -> None:
        self.bars = bars or BarStore()
        self._history = _History(history_ttl_s)

    def forget(self) -> None:
        self.bars.forget()
        self._history.forget()

    def gather(
        self,
        connection: Connection,
        patterns: Sequence[Pattern],
        *,
        benchmark: str | None,
        history_lag_us: int,
        history: Floats | None = None,
    ) -> Gathered:
        """Inputs of ``patterns``, in their order.

        ``benchmark`` is the symbol beside which patterns are seen (None: ``market_bars`` is all NaN). ``history``
        [N, 2] gives values used before, for a replay; otherwise they are looked up.
        """
        self.bars.refresh(connection)
        count = len(patterns)
        bars = np.full((count, WINDOW, 5), np.nan)
        market = np.full((count, WINDOW, 5), np.nan)
        seen = np.zeros(count, dtype=np.int64)
        times: list[tuple[Ints, int | None]] = []
        series = self.bars.get(connection, _spans(patterns))
        for i, pattern in enumerate(patterns):
            own = series[pattern.symbol, pattern.timeframe]
            ts, window = own.window(pattern.detected_at_us)
            seen[i] = len(ts)
            if len(ts):
                bars[i, -len(ts) :] = window
                times.append((ts, own.before(int(ts[0]))))
            else:
                times.append((ts, None))
        if benchmark is not None:
            self._align(connection, benchmark, patterns, times, market)
        if history is None:
            history = self._history.values(connection, patterns, history_lag_us)
        return Gathered(_assemble(patterns, bars, market, history), seen)

    def _align(
        self,
        connection: Connection,
        benchmark: str,
        patterns: Sequence[Pattern],
        times: Sequence[tuple[Ints, int | None]],
        market: Floats,
    ) -> None:
        spans: dict[Key, tuple[int, int]] = {}
        for pattern, (ts, _) in zip(patterns, times, strict=True):
            if len(ts):
                _widen(spans, (benchmark, pattern.timeframe), int(ts[0]), int(ts[-1]))
        series = self.bars.get(connection, spans) if spans else {}
        for i, (pattern, (ts, before)) in enumerate(zip(patterns, times, strict=True)):
            if len(ts):
                market[i, -len(ts) :] = align(series[benchmark, pattern.timeframe], ts, before)


def align(benchmark: Series, ts: Ints, before: int | None) -> Floats:
    """The benchmark's newest bar at or before each of ``ts`` [T], as [T, 5].

    NaN where it is more than one bar older, that is, older than the bar before in ``ts``; ``before`` is the bar ahead
    of the first, None when there is none (then only a bar of the very same moment counts).
    """
    place = np.searchsorted(benchmark.ts, ts, side="right") - 1
    oldest = np.concatenate([[ts[0] if before is None else before], ts[:-1]])
    found = np.full((len(ts), 5), np.nan)
    if len(benchmark.ts):
        good = (place >= 0) & (benchmark.ts[np.maximum(place, 0)] >= oldest)
        found[good] = benchmark.bars[place[good]]
    return found


def _spans(patterns: Sequence[Pattern]) -> dict[Key, tuple[int, int]]:
    spans: dict[Key, tuple[int, int]] = {}
    for pattern in patterns:
        _widen(spans, (pattern.symbol, pattern.timeframe), pattern.detected_at_us, pattern.detected_at_us)
    return spans


def _widen(spans: dict[Key, tuple[int, int]], key: Key, first: int, last: int) -> None:
    span = spans.get(key)
    spans[key] = (first, last) if span is None else (min(span[0], first), max(span[1], last))


def _assemble(
    patterns: Sequence[Pattern], bars: Floats, market: Floats, history: Floats
) -> dict[str, NDArray[np.generic]]:
    nan = np.nan
    return {
        "bars": bars,
        "market_bars": market,
        "levels": _finite(np.array([p.levels for p in patterns], dtype=np.float64).reshape(-1, 5)),
        "rule_confidence": np.array(
            [nan if p.rule_confidence is None else p.rule_confidence for p in patterns], dtype=np.float64
        ),
        "direction": np.array([p.direction or 0 for p in patterns], dtype=np.float64),
        "duration_s": _finite(
            np.array([nan if p.duration_s is None else p.duration_s for p in patterns], dtype=np.float64)
        ),
        "pattern_type": np.array([p.pattern_type for p in patterns], dtype=object),
        "timeframe": np.array([p.timeframe for p in patterns], dtype=object),
        "detected_at": np.array([p.detected_at_us // 1_000_000 for p in patterns], dtype=np.int64),
        "context": _finite(
            np.array([_context(p.market) for p in patterns], dtype=np.float64).reshape(-1, len(CONTEXT_COLUMNS))
        ),
        "history": history,
    }


def _finite(values: Floats) -> Floats:
    values[~np.isfinite(values)] = np.nan
    return values


def _json(text: str | None) -> Any:
    """What the database sent as JSON text; None for what Python cannot hold, such as a nesting too deep for its stack.

    Numbers become floats at once: as an integer one of thousands of digits would raise.
    """
    if text is None:
        return None
    try:
        return json.loads(text, parse_int=float)
    except (ValueError, RecursionError):
        return None


def _context(market: Any) -> list[float]:
    if not isinstance(market, dict):
        return [np.nan] * len(CONTEXT_COLUMNS)
    return [_number(market.get(name)) for name in CONTEXT_COLUMNS]


def _number(value: Any) -> float:
    """A JSON number or numeric string; NaN for anything else. JSON has no NaN, so feeds send it as a string."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return float("nan")
    try:
        return float(value)
    except (ValueError, OverflowError):
        return float("nan")


class _History:
    """Success rate and count by pattern type, from the daily rollup."""

    def __init__(self, ttl_s: float) -> None:
        self._ttl_s = ttl_s
        self._kept: dict[str, tuple[Ints, Floats, Floats]] = {}
        self._read_at = -np.inf

    def forget(self) -> None:
        self._kept.clear()

    def values(self, connection: Connection, patterns: Sequence[Pattern], lag_us: int) -> Floats:
        """[N, 2]: positives / all (NaN at zero) and all, of outcomes before detected_at's UTC day minus the lag."""
        types = [p.pattern_type for p in patterns]
        self._load(connection, sorted(set(types)))
        values = np.empty((len(patterns), 2))
        for i, pattern in enumerate(patterns):
            days, positives, total = self._kept[pattern.pattern_type]
            midnight = pattern.detected_at_us - pattern.detected_at_us % _DAY_US
            place = int(np.searchsorted(days, (midnight - lag_us) // _DAY_US, side="left"))
            count = total[place]
            values[i] = (positives[place] / count if count > 0 else np.nan, count)
        return values

    def _load(self, connection: Connection, types: list[str]) -> None:
        now = time.monotonic()
        if now - self._read_at >= self._ttl_s:
            self._kept.clear()
            self._read_at = now
        missing = [name for name in types if name not in self._kept]
        if not missing:
            return
        rows = connection.execute(query("outcome_days"), {"types": missing}).fetchall()
        by_type: dict[str, list[tuple[int, int, int]]] = {name: [] for name in missing}
        for name, day, positives, total in rows:
            by_type[name].append((day, positives, total))
        for name, days in by_type.items():
            table = np.array(days, dtype=np.int64).reshape(-1, 3)
            sums = np.vstack([np.zeros((1, 2)), np.cumsum(table[:, 1:], axis=0)])
            # sums[k] counts the first k days; a day at place k is the first that is not counted.
            self._kept[name] = (table[:, 0], sums[:, 0], sums[:, 1])
