"""Labelled rows of an open market, without a database: the labels that ``ml.label_outcomes`` would give.

Inputs come from the worker's own gatherer, over bars in memory. A test compares rows with those that training loads
from a real database.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from bench.markets import OpenMarket
from db_functions.bars import NO_LIMIT, BarStore, Key
from db_functions.bars import Series as StoredSeries
from db_functions.contract import DEFAULT_HORIZON
from db_functions.database import Connection
from db_functions.gather import Gatherer
from db_functions.gather import Pattern as GatheredPattern
from db_functions.walk import STAND_IN_ATRS, STAND_IN_BARS
from demo.application import Pattern
from demo.market import BENCHMARK, CLOSE, HIGH, LOW, TIMEFRAME, Series
from training.dataset import NEGATIVE, NEUTRAL, POSITIVE, Dataset

Floats = NDArray[np.float64]

LAG_DAYS: Final = 30
"""The setting ``history_lag``: outcomes count as known when 20 daily bars are over."""
_US: Final = 1_000_000
_DAY_S: Final = 86_400
_NO_CONNECTION: Final = cast("Connection", None)
"""Bars are in memory and history is given, so nothing is asked of a database."""


@dataclass(frozen=True, slots=True)
class Label:
    """What came of a pattern, when that was known, and when its label horizon ended (Unix seconds)."""

    outcome: int
    known_at: int
    horizon_at: int


def labelled_rows(market: OpenMarket, patterns: Sequence[Pattern], horizon: int = DEFAULT_HORIZON) -> Dataset:
    """The rows of ``patterns`` (in order of time) that have a label, as ``training.load`` would read them."""
    found = [(one, label(market.series[one.symbol], one, horizon)) for one in patterns]
    rows = [(one, what) for one, what in found if what is not None]
    labels = [what for _, what in rows]
    gathered = [_as_gathered(one, number) for number, (one, _) in enumerate(rows)]
    inputs = Gatherer(_Bars(market)).gather(
        _NO_CONNECTION,
        gathered,
        benchmark=BENCHMARK if market.benchmark else None,
        history_lag_us=LAG_DAYS * _DAY_S * _US,
        history=_history([one for one, _ in rows], labels),
    )
    return Dataset(
        inputs=inputs.inputs,
        outcome=np.array([what.outcome for what in labels], np.int8),
        detected_at=np.array([_seconds(one) for one, _ in rows], np.int64),
        outcome_at=np.array([what.known_at for what in labels], np.int64),
        horizon_at=np.array([what.horizon_at for what in labels], np.int64),
        pattern_id=np.array([one.id for one in gathered], dtype=object),
        symbol=np.array([one.symbol for one, _ in rows], dtype=object),
        horizon=horizon,
    )


def label(series: Series, pattern: Pattern, horizon: int) -> Label | None:
    """By the rules of ``ml.label_outcomes``; None where that labels nothing."""
    start = int(np.searchsorted(series.ts, _seconds(pattern), side="right"))
    levels = _levels(series.bars[:start], pattern)
    if levels is None or start + horizon > len(series):
        return None
    target, stop = levels
    ahead = series.bars[start : start + horizon]
    favourable, adverse = (HIGH, LOW) if pattern.direction > 0 else (LOW, HIGH)
    reached = (ahead[:, favourable] - target) * pattern.direction >= 0
    stopped = (stop - ahead[:, adverse]) * pattern.direction >= 0
    decided = np.flatnonzero(reached | stopped)
    end = int(series.ts[start + horizon - 1])
    if not len(decided):
        return Label(NEUTRAL, end, end)
    first = int(decided[0])
    return Label(NEGATIVE if stopped[first] else POSITIVE, int(series.ts[start + first]), end)


def _levels(known: Floats, pattern: Pattern) -> tuple[float, float] | None:
    """Target and stop, two mean true ranges from the price where absent; None where they are on a wrong side."""
    stand_in = float("nan")
    if len(known) > STAND_IN_BARS:
        bars, before = known[-STAND_IN_BARS:], known[-STAND_IN_BARS - 1 : -1, CLOSE]
        ranges = np.maximum(bars[:, HIGH], before) - np.minimum(bars[:, LOW], before)
        stand_in = STAND_IN_ATRS * float(ranges.mean())
    price, side = pattern.entry, pattern.direction
    target = price + side * stand_in if pattern.target is None else pattern.target
    stop = price - side * stand_in if pattern.stoploss is None else pattern.stoploss
    return (target, stop) if (target - price) * side > 0 and (price - stop) * side > 0 else None


class _Bars(BarStore):
    """The whole of a market, in memory from the start."""

    def __init__(self, market: OpenMarket) -> None:
        super().__init__()
        every = [*market.series.values(), *([market.benchmark] if market.benchmark else [])]
        self._whole = {
            (one.symbol, TIMEFRAME): StoredSeries(one.ts * _US, one.bars, -NO_LIMIT, NO_LIMIT) for one in every
        }

    def refresh(self, connection: Connection) -> None:
        """Nothing changes."""

    def get(
        self,
        connection: Connection,  # noqa: ARG002
        spans: Mapping[Key, tuple[int, int]],
    ) -> dict[Key, StoredSeries]:
        return {key: self._whole[key] for key in spans}


def _history(patterns: Sequence[Pattern], labels: Sequence[Label]) -> Floats:
    """Success rate and count of each pattern's type, of outcomes before its UTC day less the lag, [N, 2]."""
    known: dict[str, list[tuple[int, bool]]] = defaultdict(list)
    for one, what in zip(patterns, labels, strict=True):
        known[one.pattern_type].append((what.known_at // _DAY_S, what.outcome == POSITIVE))
    table = {}
    for kind, entries in known.items():
        entries.sort()
        table[kind] = np.array([day for day, _ in entries]), np.cumsum([0, *(hit for _, hit in entries)])
    values = np.full((len(patterns), 2), np.nan)
    for row, one in enumerate(patterns):
        days, positives = table[one.pattern_type]
        count = int(np.searchsorted(days, _seconds(one) // _DAY_S - LAG_DAYS, side="left"))
        values[row] = positives[count] / count if count else np.nan, count
    return values


def _as_gathered(pattern: Pattern, number: int) -> GatheredPattern:
    market: Any = pattern.metadata.get("market")
    return GatheredPattern(
        id=f"{number:08}",
        symbol=pattern.symbol,
        timeframe=pattern.timeframe,
        pattern_type=pattern.pattern_type,
        detected_at_us=_seconds(pattern) * _US,
        duration_s=(pattern.detected_at - pattern.started_at).total_seconds(),
        direction=pattern.direction,
        support=pattern.support,
        resistance=pattern.resistance,
        target=pattern.target,
        entry=pattern.entry,
        stoploss=pattern.stoploss,
        rule_confidence=pattern.confidence,
        market_json=json.dumps(market) if market else None,
    )


def _seconds(pattern: Pattern) -> int:
    return int(pattern.detected_at.timestamp())
