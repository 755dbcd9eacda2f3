"""What the tests of the SQL share: writing scores as a worker does, and being refused."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import psycopg
import pytest

from db_functions.database import Connection


def champion_id(connection: Connection) -> int | None:
    found = connection.execute(
        "select model_id from ml.aliases where alias = 'champion' and valid_to is null"
    ).fetchone()
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
) -> None:
    """Write scores, or fallbacks where a confidence is None, through the worker's own function."""
    champion = champion or champion_id(connection)
    probabilities: list[float] = []
    for value in confidences:
        rest = 0.0 if value is None else (1 - value) / 2
        probabilities += [rest, rest, value or 0.0]
    connection.execute(
        "select ml_internal.write_scores(champion => %(champion)s, model => %(champion)s, queue_ids => '{}', "
        "enqueued_at => %(enqueued_at)s::timestamptz[], pattern_ids => %(ids)s::uuid[], "
        "reasons => %(reasons)s::text[], "
        "ml_confidence => %(confidences)s::real[], probabilities => %(probabilities)s::real[], "
        "quality => %(quality)s::real[], bars => %(bars)s::smallint[], features => null, "
        "history => %(history)s::float8[], input_hashes => %(hashes)s::bytea[], inference_ms => 0.3::real, "
        "rescore => true, worker => null)",
        {
            "champion": champion,
            "enqueued_at": [enqueued_at] * len(ids),
            "ids": list(ids),
            "reasons": list(reasons or [None] * len(ids)),
            "confidences": list(confidences),
            "probabilities": probabilities,
            "quality": [quality] * len(ids),
            "bars": [128] * len(ids),
            "history": [0.5, 10.0] * len(ids),
            "hashes": [b"hash"] * len(ids),
        },
    )


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
