"""Labelled rows from the database, gathered by the same code that gathers for the worker."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from psycopg.rows import class_row, kwargs_row, scalar_row

from db_functions.contract import CLASSES
from db_functions.database import Connection
from db_functions.errors import SchemaMissing, translated
from db_functions.gather import Gathered, Gatherer, Pattern
from db_functions.progress import bar
from db_functions.queries import query
from training.dataset import Dataset

_CHUNK: Final = 1_000
_OUTCOMES = {name: index for index, name in enumerate(CLASSES)}


@dataclass(frozen=True, slots=True)
class GatherSettings:
    """What the settings say about gathering and labelling."""

    benchmark: str | None
    history_lag_us: int
    label_horizon: int


@dataclass(frozen=True, slots=True)
class _Labelled:
    """``outcome_at`` is when the outcome became known, ``horizon_at`` the end of its label horizon, Unix seconds."""

    pattern: Pattern
    outcome_label: str
    outcome_at: int
    horizon_at: int

    @classmethod
    def from_columns(cls, *, outcome_label: str, outcome_at: int, horizon_at: int, **pattern: Any) -> _Labelled:
        return cls(Pattern(**pattern), outcome_label, outcome_at, horizon_at)


def read_gather_settings(connection: Connection) -> GatherSettings:
    """Raises SchemaMissing before an upgrade."""
    with translated(), connection.cursor(row_factory=class_row(GatherSettings)) as cursor:
        settings = cursor.execute(query("gather_settings")).fetchone()
    if settings is None:
        raise SchemaMissing("ml.settings is empty; run `alembic upgrade head`")
    return settings


def load_dataset(
    connection: Connection,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    progress: bool = False,
) -> Dataset:
    """Every labelled pattern detected in ``[since, until)``, oldest first, with its inputs as of its own time.

    Patterns without a single bar are left out. Its windows take 10 kB a row: to train, see ``prepare``.
    Raises SchemaMissing before an upgrade.
    """
    settings, ids = read_gather_settings(connection), labelled_ids(connection, since, until)
    return read_rows(connection, Gatherer(history_ttl_s=float("inf")), settings, ids, progress=progress)


def labelled_ids(connection: Connection, since: datetime | None, until: datetime | None) -> list[str]:
    """Patterns detected in ``[since, until)``, in the order of time."""
    with translated(), connection.transaction(), connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(query("labelled_ids"), {"since": since, "until": until}).fetchall()


def read_rows(
    connection: Connection,
    gatherer: Gatherer,
    settings: GatherSettings,
    ids: Sequence[str],
    *,
    progress: bool = False,
) -> Dataset:
    """Those of the patterns ``ids`` that are labelled and have a bar, oldest first."""
    with translated(), connection.cursor(row_factory=kwargs_row(_Labelled.from_columns)) as cursor:
        rows = cursor.execute(query("labelled_rows"), {"ids": list(ids)}).fetchall()
    patterns = [row.pattern for row in rows]
    parts = _gather(connection, gatherer, patterns, settings, progress=progress)
    dataset = Dataset(
        inputs=_joined(parts),
        outcome=np.array([_OUTCOMES[row.outcome_label] for row in rows], dtype=np.int8),
        detected_at=np.array([pattern.detected_at_us // 1_000_000 for pattern in patterns], dtype=np.int64),
        outcome_at=np.array([row.outcome_at for row in rows], dtype=np.int64),
        horizon_at=np.array([row.horizon_at for row in rows], dtype=np.int64),
        pattern_id=np.array([pattern.id for pattern in patterns], dtype=object),
        symbol=_interned(pattern.symbol for pattern in patterns),
        horizon=settings.label_horizon,
    )
    seen = np.concatenate([part.bars_seen for part in parts])
    return dataset if (seen > 0).all() else dataset.take(np.flatnonzero(seen > 0))


def _gather(
    connection: Connection,
    gatherer: Gatherer,
    patterns: Sequence[Pattern],
    settings: GatherSettings,
    *,
    progress: bool = False,
) -> list[Gathered]:
    """Inputs in chunks; one empty chunk when there are no patterns. Ends the transaction."""
    starts = range(0, max(1, len(patterns)), _CHUNK)
    parts = [
        gatherer.gather(
            connection,
            patterns[start : start + _CHUNK],
            benchmark=settings.benchmark,
            history_lag_us=settings.history_lag_us,
        )
        for start in bar(starts, shown=progress, desc="load", unit="chunk")
    ]
    connection.commit()
    return parts


def _joined(parts: Sequence[Gathered]) -> dict[str, NDArray[Any]]:
    found = {name: np.concatenate([part.inputs[name] for part in parts]) for name in parts[0].inputs}
    return {name: _interned(values) if values.dtype == object else values for name, values in found.items()}


def _interned(texts: Iterable[str]) -> NDArray[np.object_]:
    """Equal texts as one object: a million rows have few symbols and types."""
    return np.array([sys.intern(text) for text in texts], dtype=object)
