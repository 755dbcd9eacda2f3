"""Price series in memory: fetched once, sliced into windows, kept between batches, and right when bars are corrected.

Times here are int64 microseconds since 1970-01-01 UTC.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from psycopg import Cursor
from psycopg.rows import class_row

from db_functions.contract import WINDOW
from db_functions.database import Connection
from db_functions.queries import fetch_all, query, send

logger = logging.getLogger(__name__)

Key = tuple[str, str]
"""A series: (symbol, timeframe)."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NO_LIMIT = np.iinfo(np.int64).max
_BEFORE = WINDOW + 1
"""A window, and the one bar before it that alignment with the benchmark needs."""
_AHEAD = 4096
"""Bars fetched beyond the first moment asked for, at most, in one go."""
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
        # Copied, for a slice would hold on to the memory of the whole.
        self.ts, self.bars = self.ts[:end].copy(), self.bars[:end].copy()
        self.until = min(self.until, since - 1)


@dataclass(frozen=True, slots=True)
class Look:
    """The row of ``bar_changes``."""

    snapshot: str
    turn: int
    """How often the log has been pruned."""
    mark: str
    """Differs when tables or triggers were changed, which the log does not tell."""
    changes: list[tuple[str, str, int]]
    """(symbol, timeframe, since, in microseconds) of what the snapshot of the last look did not show."""

    def follows(self, last: Look) -> bool:
        """Whether the log tells all that has happened since ``last``."""
        return self.mark == last.mark and self.turn <= last.turn + 1


class BarDoubt(NamedTuple):
    """A row of ``bar_doubts``: why changes of a table may go unheard."""

    relation: str
    doubt: str
    remedy: str


class BarStore:
    """Series by key, read from the database and kept while the log of bar changes says they are still right.

    Keeping is safe whatever the order of commits: see ``queries/bar_changes.sql``. Where changes may go unheard, every
    batch reads its bars itself. No transaction that has written bars itself may look.
    """

    def __init__(self, max_bars: int = 2_000_000) -> None:
        self.hits = 0
        """Series that were in memory, whole or except for their newest bars."""
        self.misses = 0
        """Series that had to be read from the beginning of the window."""
        self._max_bars = max_bars
        self._series: OrderedDict[Key, Series] = OrderedDict()
        """The one used longest ago first."""
        self.weight = 0
        """Of all series together: their bars, and a little for each."""
        self._last: Look | None = None
        self._hears_all = False

    def refresh(self, connection: Connection) -> None:
        """Drop what has changed since the last call. Call it once before each batch, in its transaction."""
        self.heed(connection, self.ask(connection))

    def ask(self, connection: Connection) -> Cursor[Look]:
        """Ask what has changed since the last answer; :meth:`heed` takes what comes."""
        return send(connection, "bar_changes", class_row(Look), {"seen": self._last.snapshot if self._last else None})

    def heed(self, connection: Connection, answer: Cursor[Look]) -> None:
        """Drop what has changed."""
        last, look = self._last, answer.fetchone()
        assert look is not None
        if last is None or look.mark != last.mark:
            found = doubts(connection)
            self._hears_all = not found
            if found:
                logger.warning(
                    "no bars are kept, each batch reads its own: %(relation)s: %(doubt)s",
                    {"event": "bars_not_kept", "relation": found[0].relation, "doubt": found[0].doubt},
                )
        if last is None or not look.follows(last) or not self._hears_all:
            self.forget()
        self._last = replace(look, changes=[])
        for symbol, timeframe, since in look.changes:
            series = self._series.get((symbol, timeframe))
            if series is not None and since <= series.until:
                self._drop((symbol, timeframe))
                series.cut(since)
                if series.until >= series.first:
                    self._keep((symbol, timeframe), series)

    def forget(self) -> None:
        """Drop everything: after a lost connection it is unknown what has changed meanwhile."""
        self._series.clear()
        self.weight = 0
        self._last = None

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
            self._series.move_to_end(key)
        self._evict(len(wanted))
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
                self._drop(key)
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
            kept = self._drop(key)
            if kept is None:
                kept = Series(ts, bars, starts[n], until)
            else:
                kept.ts = np.concatenate([kept.ts, ts])
                kept.bars = np.concatenate([kept.bars, bars])
                kept.until = until
            self._keep(key, kept)

    def _keep(self, key: Key, series: Series) -> None:
        self._series[key] = series
        self.weight += _weight(series)

    def _drop(self, key: Key) -> Series | None:
        series = self._series.pop(key, None)
        if series is not None:
            self.weight -= _weight(series)
        return series

    def _evict(self, in_use: int) -> None:
        """Let go of those used longest ago; the newest ``in_use`` stay."""
        while self.weight > self._max_bars and len(self._series) > in_use:
            _, series = self._series.popitem(last=False)
            self.weight -= _weight(series)


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


def doubts(connection: Connection) -> list[BarDoubt]:
    """Why changes of bars may go unheard; empty when none does."""
    return fetch_all(connection, "bar_doubts", class_row(BarDoubt))


def _weight(series: Series) -> int:
    """Bars, plus a little for the entry itself: many empty series take memory too."""
    return len(series.ts) + 16
