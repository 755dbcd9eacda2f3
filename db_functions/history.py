"""The model input ``history``: how often a pattern type turned out positive, by what was known at the time."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

import numpy as np
from psycopg.rows import class_row

from db_functions.bars import Floats
from db_functions.database import Connection
from db_functions.queries import fetch_all

_DAY_US = 86_400_000_000


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


class History:
    """Success rate and count by pattern type, from the daily rollup."""

    def __init__(self, ttl_s: float) -> None:
        self._ttl_s = ttl_s
        self._kept: dict[str, tuple[list[int], list[tuple[float, int]]]] = {}
        self._read_at = -np.inf

    def forget(self) -> None:
        self._kept.clear()

    def values(self, connection: Connection, patterns: Sequence[Typed], lag_us: int) -> Floats:
        """[N, 2]: positives / all (NaN at zero) and all, of outcomes before detected_at's UTC day minus the lag."""
        self._load(connection, sorted({pattern.pattern_type for pattern in patterns}))
        values = np.empty((len(patterns), 2))
        for i, pattern in enumerate(patterns):
            days, known = self._kept[pattern.pattern_type]
            midnight = pattern.detected_at_us - pattern.detected_at_us % _DAY_US
            values[i] = known[bisect_left(days, (midnight - lag_us) // _DAY_US)]
        return values

    def _load(self, connection: Connection, types: list[str]) -> None:
        now = time.monotonic()
        if now - self._read_at >= self._ttl_s:
            self._kept.clear()
            self._read_at = now
        missing = [name for name in types if name not in self._kept]
        if not missing:
            return
        by_type: dict[str, list[_OutcomeDay]] = {name: [] for name in missing}
        for outcomes in fetch_all(connection, "outcome_days", class_row(_OutcomeDay), {"types": missing}):
            by_type[outcomes.pattern_type].append(outcomes)
        for name, days in by_type.items():
            positives = accumulate((outcomes.positives for outcomes in days), initial=0)
            totals = accumulate((outcomes.total for outcomes in days), initial=0)
            # Place k counts the first k days; a day at place k is the first that is not counted.
            known = [(good / all_ if all_ > 0 else np.nan, all_) for good, all_ in zip(positives, totals, strict=True)]
            self._kept[name] = [outcomes.day for outcomes in days], known
