"""Price series in memory: fetched once, sliced into windows, kept between batches, and right when bars are corrected.

Times here are int64 microseconds since 1970-01-01 UTC.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from db_functions.contract import WINDOW
from db_functions.database import Connection
from db_functions.queries import fetch_row, query

Key = tuple[str, str]
"""A series: (symbol, timeframe)."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NO_LIMIT = np.iinfo(np.int64).max
_BEFORE = WINDOW + 1
"""A window, and the one bar before it that alignment with the benchmark needs."""
_AHEAD = 4096
"""Bars fetched beyond the first moment asked for, at most, in one go."""
_LOG_KEPT_S = 86_400.0
"""The log keeps its entries longer than this; a store that has not looked for so long may have missed some."""
_POSTGRES_EPOCH_US = 946_684_800_000_000

_COPY_HEADER = 19
_COPY_TRAILER = 2
_COPY_ROW = np.dtype(
    [("fields", ">i2"), ("len_n", ">i4"), ("n", ">i4"), ("len_ts", ">i4"), ("ts", ">i8")]
    + [item for name in "ohlcv" for item in ((f"len_{name}", ">i4"), (name, ">f8"))]
)


@dataclass(slots=True)
class Series:
    """Bars of one series, oldest first.

    Everything needed for moments in ``[first, until]`` is here: each bar in between, and the ``WINDOW + 1`` bars
    at or before ``first``.
    """

    ts: Ints
    """[T] strictly increasing."""
    bars: Floats
    """[T, 5] open, high, low, close, volume."""
    first: int
    until: int

    def reach(self) -> int:
        """The last moment for which reading on from what is kept pays: a window's length beyond it.

        A new bar and the pattern on it arrive together, just beyond what is kept.
        """
        if self.until == NO_LIMIT or len(self.ts) < 2:
            return self.until
        return self.until + int(self.ts[-1] - self.ts[max(0, len(self.ts) - WINDOW)])

    def cut(self, since: int) -> None:
        """Forget bars at or after ``since``."""
        end = int(np.searchsorted(self.ts, since, side="left"))
        self.ts, self.bars = self.ts[:end], self.bars[:end]
        self.until = min(self.until, since - 1)


@dataclass(frozen=True, slots=True)
class _Changes:
    """The row of ``bar_changes``."""

    xmin: str
    known: list[int]
    """Ids of the changes that this snapshot sees, and the next one will see again."""
    changes: list[tuple[str | None, str, int]]
    """(symbol, timeframe, since, in microseconds) of those that are new; a symbol of None means every series."""


class BarStore:
    """Series by key, read from the database and kept while the log of bar changes says they are still right.

    Keeping is safe whatever the order of commits: see ``queries/bar_changes.sql``.
    """

    def __init__(self, max_bars: int = 2_000_000) -> None:
        self.hits = 0
        """Series that were in memory, whole or except for their newest bars."""
        self.misses = 0
        """Series that had to be read from the beginning of the window."""
        self._max_bars = max_bars
        self._series: dict[Key, Series] = {}
        self._seen_xmin: str | None = None
        self._looked_at = -float("inf")
        self._known_changes: list[int] = []

    def refresh(self, connection: Connection) -> None:
        """Drop what has changed since the last call. Call it once before each batch, in its transaction."""
        now = time.monotonic()
        if now - self._looked_at > _LOG_KEPT_S:
            self.forget()
        self._looked_at = now
        seen = self._seen_xmin
        if seen is None:
            self._series.clear()
            seen = "18446744073709551615"  # nothing is kept yet, so no change matters
        found = fetch_row(connection, "bar_changes", _Changes, {"seen": seen, "known": self._known_changes})
        self._seen_xmin, self._known_changes = found.xmin, found.known
        for symbol, timeframe, since in found.changes:
            if symbol is None:
                self._series.clear()
                continue
            series = self._series.get((symbol, timeframe))
            if series is not None and since <= series.until:
                series.cut(since)
                if series.until < series.first:
                    del self._series[symbol, timeframe]

    def forget(self) -> None:
        """Drop everything: after a lost connection it is unknown what has changed meanwhile."""
        self._series.clear()
        self._seen_xmin, self._known_changes = None, []

    def get(self, connection: Connection, wanted: Mapping[Key, tuple[int, int]]) -> dict[Key, Series]:
        """The series that serve the moments from ``first`` to ``last`` of each key."""
        found: dict[Key, Series] = {}
        missing = {key: span for key, span in wanted.items() if not self._serves(key, *span)}
        self.misses += (read := sum(not self._extends(key, first) for key, (first, _) in missing.items()))
        self.hits += len(wanted) - read
        while missing:
            self._fetch(connection, missing)
            missing = {key: span for key, span in missing.items() if not self._serves(key, *span)}
        for key in wanted:
            found[key] = self._series[key]
            self._series[key] = self._series.pop(key)  # newest use last
        self._evict(set(wanted))
        return found

    def _serves(self, key: Key, first: int, last: int) -> bool:
        series = self._series.get(key)
        return series is not None and series.first <= first and last <= series.until

    def _extends(self, key: Key, first: int) -> bool:
        """Whether what is kept reaches ``first`` or nearly so, so that only newer bars have to be read."""
        series = self._series.get(key)
        return series is not None and series.first <= first <= series.reach()

    def _fetch(self, connection: Connection, missing: Mapping[Key, tuple[int, int]]) -> None:
        keys = list(missing)
        starts, befores = [], []
        for key in keys:
            kept = self._series.get(key)
            first = missing[key][0]
            if kept is not None and self._extends(key, first):
                starts.append(kept.until)  # only what is missing at the new end
                befores.append(0)
            else:
                self._series.pop(key, None)
                starts.append(first)
                befores.append(_BEFORE)
        rows = _copy_rows(connection, keys, starts, befores)
        order = np.lexsort((rows["ts"], rows["n"]))
        rows = rows[order]
        bounds = np.searchsorted(rows["n"], np.arange(1, len(keys) + 2))
        for n, key in enumerate(keys):
            part = rows[bounds[n] : bounds[n + 1]]
            # The last years that Postgres knows are beyond what fits here.
            ts = np.minimum(part["ts"].astype(np.int64), NO_LIMIT - _POSTGRES_EPOCH_US) + _POSTGRES_EPOCH_US
            bars = np.stack([part[name].astype(np.float64) for name in "ohlcv"], axis=1)
            ahead = int((ts > starts[n]).sum())
            until = NO_LIMIT if ahead < _AHEAD else int(ts[-1])
            kept = self._series.get(key)
            if kept is None:
                self._series[key] = Series(ts, bars, starts[n], until)
            else:
                kept.ts = np.concatenate([kept.ts, ts])
                kept.bars = np.concatenate([kept.bars, bars])
                kept.until = until

    def _evict(self, in_use: set[Key]) -> None:
        total = sum(_weight(series) for series in self._series.values())
        for key in list(self._series):
            if total <= self._max_bars:
                return
            if key not in in_use:
                total -= _weight(self._series.pop(key))


def _copy_rows(connection: Connection, keys: list[Key], starts: list[int], befores: list[int]) -> NDArray[np.void]:
    parameters = {
        "symbols": [key[0] for key in keys],
        "timeframes": [key[1] for key in keys],
        "firsts": starts,
        "befores": befores,
        "after": _AHEAD,
    }
    with connection.cursor() as cursor, cursor.copy(query("bars"), parameters) as copy:
        data = b"".join(bytes(block) for block in copy)
    body = memoryview(data)[_COPY_HEADER : len(data) - _COPY_TRAILER]
    return np.frombuffer(body, dtype=_COPY_ROW)


def _weight(series: Series) -> int:
    """Bars, plus a little for the entry itself: many empty series take memory too."""
    return len(series.ts) + 16
