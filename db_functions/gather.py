"""The one gatherer of model inputs, for training and the worker alike: rows in, arrays out.

Nothing is read after a row's ``detected_at``: bars by ts, outcomes by the day before which they were known.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from psycopg import Cursor
from psycopg.rows import no_result

from db_functions.bars import NO_LIMIT, BarStore, Floats, Ints, Key, Look, Series
from db_functions.contract import CONTEXT_COLUMNS, INPUTS, WINDOW
from db_functions.database import Connection
from db_functions.history import History, Renewal
from db_functions.queries import columns_of


class Pattern(NamedTuple):
    """One row to score; its fields are the columns of the named query ``pattern_columns``."""

    id: str
    symbol: str
    timeframe: str
    pattern_type: str
    detected_at_us: int
    duration_s: float | None
    direction: int | None
    support: float | None
    resistance: float | None
    target: float | None
    entry: float | None
    stoploss: float | None
    rule_confidence: float | None
    market_json: str | None
    """``metadata -> 'market'`` as JSON text."""

    @property
    def levels(self) -> tuple[float | None, ...]:
        """In the order of LEVEL_COLUMNS."""
        return self.support, self.resistance, self.target, self.entry, self.stoploss

    @property
    def market(self) -> Any:
        """``metadata -> 'market'``: anything, but None for what Python cannot hold, such as a very deep nesting.

        Numbers become floats at once: as an integer one of thousands of digits would raise.
        """
        if self.market_json is None:
            return None
        try:
            return _decode(self.market_json)
        except (ValueError, RecursionError):
            return None


def pattern_rows(cursor: Cursor[Any]) -> Callable[[Sequence[Any]], Pattern]:
    """The row factory of queries that give a pattern's columns, others aside."""
    return columns_of(cursor, Pattern) if cursor.description else no_result


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
        columns = [self.inputs[name] for name in INPUTS]
        hashes = []
        for i in range(len(self)):
            digest = hashlib.sha256()
            for values in columns:
                # A row of numbers is hashed where it lies.
                digest.update(str(values[i]).encode() + b"\0" if values.dtype == object else values[i])
            hashes.append(digest.digest()[:16])
        return hashes


@dataclass(frozen=True, slots=True)
class News:
    """What has changed of what a gatherer keeps, on its way."""

    bars: Cursor[Look]
    history: Renewal | None


class Gatherer:
    """Gathers inputs over one connection, keeping bars and outcome counts between batches.

    ``history_ttl_s``: how long outcome counts may be kept; they change when labels arrive, at most days late.
    """

    def __init__(self, bars: BarStore | None = None, history_ttl_s: float = 10.0) -> None:
        self.bars = bars or BarStore()
        self._history = History(history_ttl_s)

    def forget(self) -> None:
        self.bars.forget()
        self._history.forget()

    def ask(self, connection: Connection) -> News:
        """Ask what has changed, perhaps together with other statements; :meth:`heed` takes the answer."""
        return News(self.bars.ask(connection), self._history.ask(connection))

    def heed(self, connection: Connection, news: News) -> None:
        self.bars.heed(connection, news.bars)
        self._history.heed(news.history)

    def gather(
        self,
        connection: Connection,
        patterns: Sequence[Pattern],
        *,
        benchmark: str | None,
        history_lag_us: int,
        history: Floats | None = None,
        told: bool = False,
    ) -> Gathered:
        """Inputs of ``patterns``, in their order.

        ``benchmark`` is the symbol whose bars are ``market_bars`` (None: all NaN). ``history`` [N, 2] gives the values
        of an earlier score, for a replay; otherwise they are looked up. ``told``: :meth:`heed` has heard, in this
        transaction, what changed.
        """
        if not told:
            self.bars.refresh(connection)
        windows = self._windows(connection, patterns, benchmark)
        if history is None:
            history = self._history.values(connection, patterns, history_lag_us)
        return Gathered(_assemble(patterns, windows, history), windows.seen)

    def _windows(self, connection: Connection, patterns: Sequence[Pattern], benchmark: str | None) -> _Windows:
        count = len(patterns)
        at = np.array([pattern.detected_at_us for pattern in patterns], dtype=np.int64)
        rows = _rows_by_series(patterns)
        found = _Windows(
            bars=np.full((count, WINDOW, 5), np.nan),
            market=np.full((count, WINDOW, 5), np.nan),
            seen=np.zeros(count, dtype=np.int64),
        )
        series = self.bars.get(connection, {key: (at[own].min(), at[own].max()) for key, own in rows.items()})
        stretches: dict[Key, _Stretch] = {}
        for key, own in rows.items():
            ends = np.searchsorted(series[key].ts, at[own], side="right")
            found.bars[own] = _cut_windows(series[key].bars, ends)
            found.seen[own] = np.minimum(ends, WINDOW)
            if (some := ends > 0).any():
                stretches[key] = _Stretch.of(series[key], own[some], ends[some])
        if benchmark is not None and stretches:
            self._align(connection, benchmark, stretches, found.market)
        return found

    def _align(self, connection: Connection, benchmark: str, stretches: Mapping[Key, _Stretch], market: Floats) -> None:
        spans: dict[Key, tuple[int, int]] = {}
        for (_, timeframe), stretch in stretches.items():
            first, last = spans.get((benchmark, timeframe), (NO_LIMIT, -NO_LIMIT))
            spans[benchmark, timeframe] = min(first, int(stretch.ts[0])), max(last, int(stretch.ts[-1]))
        series = self.bars.get(connection, spans)
        for (_, timeframe), stretch in stretches.items():
            aligned = align(series[benchmark, timeframe], stretch.ts, stretch.before)
            market[stretch.rows] = _cut_windows(aligned, stretch.ends)


@dataclass(frozen=True, slots=True)
class _Windows:
    """Bars of N rows and of the benchmark beside them, [N, WINDOW, 5], and how many bars each window has [N]."""

    bars: Floats
    market: Floats
    seen: Ints


@dataclass(frozen=True, slots=True)
class _Stretch:
    """The part of a series that the windows of some rows cover: window ``i`` is the bars before ``ends[i]``."""

    rows: Ints
    ends: Ints
    ts: Ints
    before: int | None
    """The ts of the bar ahead of the stretch; None when there is none."""

    @classmethod
    def of(cls, series: Series, rows: Ints, ends: Ints) -> _Stretch:
        first, last = max(0, int(ends.min()) - WINDOW), int(ends.max())
        return cls(rows, ends - first, series.ts[first:last], int(series.ts[first - 1]) if first else None)


def _cut_windows(bars: Floats, ends: Ints) -> Floats:
    """The ``WINDOW`` bars before each of ``ends``, [n, WINDOW, 5]; NaN ahead of the first bar."""
    place = ends[:, None] + np.arange(-WINDOW, 0)
    if not len(bars):
        return np.full((*place.shape, 5), np.nan)
    found: Floats = bars[np.maximum(place, 0)]
    found[place < 0] = np.nan
    return found


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


def _rows_by_series(patterns: Sequence[Pattern]) -> dict[Key, Ints]:
    rows: dict[Key, list[int]] = {}
    for i, pattern in enumerate(patterns):
        rows.setdefault((pattern.symbol, pattern.timeframe), []).append(i)
    return {key: np.array(own) for key, own in rows.items()}


def _assemble(patterns: Sequence[Pattern], windows: _Windows, history: Floats) -> dict[str, NDArray[np.generic]]:
    # NumPy makes NaN of None.
    return {
        "bars": windows.bars,
        "market_bars": windows.market,
        "levels": _finite(np.array([p.levels for p in patterns], dtype=np.float64).reshape(-1, 5)),
        "rule_confidence": np.array([p.rule_confidence for p in patterns], dtype=np.float64),
        "direction": np.array([p.direction or 0 for p in patterns], dtype=np.float64),
        "duration_s": _finite(np.array([p.duration_s for p in patterns], dtype=np.float64)),
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


_decode = json.JSONDecoder(parse_int=float).decode


def _context(market: Any) -> list[float]:
    if not isinstance(market, dict):
        return [np.nan] * len(CONTEXT_COLUMNS)
    return [_number(market[name]) if name in market else np.nan for name in CONTEXT_COLUMNS]


def _number(value: Any) -> float:
    """A JSON number or numeric string; NaN for anything else. JSON has no NaN, so feeds send it as a string."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return float("nan")
    try:
        return float(value)
    except (ValueError, OverflowError):
        return float("nan")
