"""What the tests of the SQL share: writing scores as a worker does, and being refused."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
import psycopg
import pytest
from numpy.typing import NDArray

from db_functions import composites
from db_functions.composites import Failures, Pairs, Runs, ScoreRows, Scores
from db_functions.database import Connection
from db_functions.queries import query

IN_SYSTEM = "in ('ml'::regnamespace, 'ml_internal'::regnamespace)"
"""Of a schema's oid in the catalogue: whether the system made it."""


def champion_id(connection: Connection) -> int | None:
    found = connection.execute("select model_id from ml_internal.champion").fetchone()
    return found[0] if found else None


def write_scores(
    connection: Connection,
    ids: Sequence[str],
    confidences: Sequence[float | None],
    reasons: Sequence[str | None] | None = None,
    *,
    enqueued_at: datetime | None = None,
    quality: float = 0.75,
    champion: int | None = None,
    role: str = "champion",
    model: int | None = None,
    features: NDArray[np.float32] | None = None,
) -> None:
    """Write scores, or fallbacks where a confidence is None, through the worker's own function."""
    statement, parameters = write_batch(
        connection, ids, confidences, reasons, enqueued_at, quality, champion, role, model, features
    )
    connection.execute(statement, parameters)


def write_batch(
    connection: Connection,
    ids: Sequence[str] = (),
    confidences: Sequence[float | None] = (),
    reasons: Sequence[str | None] | None = None,
    enqueued_at: datetime | None = None,
    quality: float = 0.75,
    champion: int | None = None,
    role: str = "champion",
    model: int | None = None,
    features: NDArray[np.float32] | None = None,
) -> tuple[str, dict[str, Any]]:
    """The statement of :func:`write_scores`, and its parameters; ``model`` is the champion unless given."""
    composites.register(connection)
    champion = champion or champion_id(connection)
    model = model or champion
    count = len(ids)
    confidence = np.array([np.nan if value is None else value for value in confidences], np.float32)
    rows = ScoreRows(
        pattern_ids=[str(pattern) for pattern in ids],
        reason=reasons or [None] * count,
        enqueued_at_us=[None if enqueued_at is None else round(enqueued_at.timestamp() * 1e6)] * count,
        confidence=confidence,
        probabilities=np.column_stack([(1 - confidence) / 2, (1 - confidence) / 2, confidence]),
        quality=np.full(count, quality, np.float32),
        bars=np.full(count, 128),
        history=np.tile([0.5, 10.0], (count, 1)),
        input_hashes=[b"0123456789abcdef"] * count,
        features=features,
    )
    scorer = composites.null(23) if model is None else composites.integers([model])
    empty = [composites.integers([0]), *(composites.null(oid) for oid in (1007, 1007, 1022, 1022))]
    run = [scorer, composites.text(role, 1), composites.reals([0.3]), *empty]
    return query("write_batch"), {
        "champion": champion,
        "source": "backfill",
        "runs": Runs.of([(1, run)]),
        "scores": Scores.of(rows.blocks(1, range(count))[0]),
        "pairs": Pairs.of([]),
        "failures": Failures.of([]),
        "failed_model": None,
        "queue_ids": [],
        "cache_hits": 0,
        "cache_misses": 0,
        "rescore": True,
        "worker": None,
    }


def refusal(connection: Connection, statement: str, parameters: Sequence[Any] = ()) -> psycopg.Error:
    """The error that ``statement`` must raise; the transaction goes on after it."""
    with pytest.raises(psycopg.Error) as caught, connection.transaction():
        connection.execute(statement, parameters)
    return caught.value


def refused_with(connection: Connection, sqlstate: str, statement: str, parameters: Sequence[Any] = ()) -> str:
    """The message of the refusal, whose SQLSTATE must be ``sqlstate``."""
    error = refusal(connection, statement, parameters)
    assert (error.sqlstate, error.diag.message_primary) == (sqlstate, error.diag.message_primary)
    return error.diag.message_primary or ""


def blocked(connection: Connection, pid: int) -> bool:
    """Whether the backend ``pid`` waits for somebody's lock."""
    found = connection.execute("select cardinality(pg_blocking_pids(%s)) > 0", [pid]).fetchone()
    assert found is not None
    return bool(found[0])


def read_value(connection: Connection) -> bytes | None:
    """The one value of a query that was sent by hand."""
    result = connection.pgconn.get_result()
    assert result is not None
    assert result.status == psycopg.pq.ExecStatus.TUPLES_OK, result.error_message
    value = result.get_value(0, 0)
    while connection.pgconn.get_result() is not None:
        pass
    return value
