"""The model input ``history``: how often a pattern type turned out positive, by what was known at the time."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

import numpy as np
from psycopg import Cursor
from psycopg.rows import class_row

from db_functions.bars import Floats
from db_functions.database import Connection
from db_functions.queries import fetch_all, send

_DAY_US = 86_400_000_000
_RENEWED = 64
"""Pattern types that are renewed before a row asks for them, at most."""


class Typed(Protocol):
    """What is read of a pattern."""

    @property
    def pattern_type(self) -> str: ...

    @property
    def detected_at_us(self) -> int: ...


@dataclass(frozen=True, slots=True)
class _OutcomeDay:
    """A row of ``outcome_days``: the outcomes of one pattern type that became known on one day."""

    pattern_type: str
    day: int
    """Days since 1970-01-01."""
    positives: int
    total: int


@dataclass(frozen=True, slots=True)
class Renewal:
    """The outcomes of some pattern types, on their way."""

    types: list[str]
    days: Cursor[_OutcomeDay]


class History:
    """Success rate and count by pattern type, from the daily rollup."""

    def __init__(self, ttl_s: float) -> None:
        self._ttl_s = ttl_s
        self._kept: dict[str, tuple[list[int], list[tuple[float, int]]]] = {}
        self._read_at = -np.inf

    def forget(self) -> None:
        self._kept.clear()

    def ask(self, connection: Connection) -> Renewal | None:
        """Renew what is kept when it is old, perhaps together with other statements; :meth:`heed` takes the answer."""
        if not self._is_old() or not 0 < len(self._kept) <= _RENEWED:
            return None
        types = sorted(self._kept)
        return Renewal(types, send(connection, "outcome_days", class_row(_OutcomeDay), {"types": types}))

    def heed(self, renewal: Renewal | None) -> None:
        if renewal is not None:
            self._read_at = time.monotonic()
            self._keep(renewal.types, renewal.days.fetchall())

    def values(self, connection: Connection, patterns: Sequence[Typed], lag_us: int) -> Floats:
        """[N, 2]: positives / all (NaN at zero) and all, of outcomes before detected_at's UTC day minus the lag."""
        self._load(connection, sorted({pattern.pattern_type for pattern in patterns}))
        values = np.empty((len(patterns), 2))
        for i, pattern in enumerate(patterns):
            days, known = self._kept[pattern.pattern_type]
            midnight = pattern.detected_at_us - pattern.detected_at_us % _DAY_US
            values[i] = known[bisect_left(days, (midnight - lag_us) // _DAY_US)]
        return values

    def _is_old(self) -> bool:
        return time.monotonic() - self._read_at >= self._ttl_s

    def _load(self, connection: Connection, types: list[str]) -> None:
        if self._is_old():
            self._kept.clear()
            self._read_at = time.monotonic()
        missing = [name for name in types if name not in self._kept]
        if missing:
            self._keep(missing, fetch_all(connection, "outcome_days", class_row(_OutcomeDay), {"types": missing}))

    def _keep(self, types: list[str], found: Sequence[_OutcomeDay]) -> None:
        by_type: dict[str, list[_OutcomeDay]] = {name: [] for name in types}
        for outcomes in found:
            by_type[outcomes.pattern_type].append(outcomes)
        for name, days in by_type.items():
            positives = accumulate((outcomes.positives for outcomes in days), initial=0)
            totals = accumulate((outcomes.total for outcomes in days), initial=0)
            # Place k counts the first k days; a day at place k is the first that is not counted.
            known = [(good / all_ if all_ > 0 else np.nan, all_) for good, all_ in zip(positives, totals, strict=True)]
            self._kept[name] = [outcomes.day for outcomes in days], known
