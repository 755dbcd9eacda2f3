"""Labelled rows from the database, gathered by the same code that gathers for the worker."""

from __future__ import annotations

from datetime import datetime

import numpy as np

from db_functions.contract import CLASSES
from db_functions.database import Connection
from db_functions.errors import SchemaMissing, translated
from db_functions.gather import Gathered, Gatherer, Pattern
from db_functions.queries import query
from training.dataset import Dataset
from training.progress import bar

_CHUNK = 1_000
_OUTCOMES = {name: index for index, name in enumerate(CLASSES)}


def load_labelled(
    connection: Connection,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    progress: bool = False,
) -> Dataset:
    """Every labelled pattern detected in ``[since, until)``, oldest first, with its inputs as of its own time.

    Patterns with no bar at all are left out: there is nothing to learn from. Raises SchemaMissing before an upgrade.
    """
    with translated():
        settings = connection.execute(query("settings")).fetchone()
        rows = connection.execute(query("labelled_rows"), {"since": since, "until": until}).fetchall()
    if settings is None:
        raise SchemaMissing("ml.settings is empty; run `alembic upgrade head`")
    _, _, _, benchmark, horizon, lag_us, *_ = settings
    patterns = [Pattern.from_row(row) for row in rows]
    gatherer = Gatherer(history_ttl_s=float("inf"))
    parts: list[Gathered] = []
    chunks = range(0, len(patterns), _CHUNK)
    for start in bar(chunks, shown=progress, desc="load", unit="chunk"):
        chunk = patterns[start : start + _CHUNK]
        parts.append(gatherer.gather(connection, chunk, benchmark=benchmark, history_lag_us=lag_us))
    connection.commit()
    if not parts:
        parts = [gatherer.gather(connection, [], benchmark=None, history_lag_us=lag_us)]
    dataset = Dataset(
        inputs={name: np.concatenate([part.inputs[name] for part in parts]) for name in parts[0].inputs},
        outcome=np.array([_OUTCOMES[row[14]] for row in rows], dtype=np.int8),
        detected_at=np.array([pattern.detected_at_us // 1_000_000 for pattern in patterns], dtype=np.int64),
        outcome_at=np.array([row[15] for row in rows], dtype=np.int64),
        horizon_at=np.array([row[16] for row in rows], dtype=np.int64),
        pattern_id=np.array([pattern.id for pattern in patterns], dtype=object),
        symbol=np.array([pattern.symbol for pattern in patterns], dtype=object),
        horizon=horizon,
    )
    seen = np.concatenate([part.bars_seen for part in parts])
    return dataset if (seen > 0).all() else dataset.take(np.flatnonzero(seen > 0))
