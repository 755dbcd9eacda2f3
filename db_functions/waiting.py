"""For applications that must act on a score: insert, commit, then wait for it.

An application needs none of this to be scored. See docs/applications.md, "Waiting for a score".
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import class_row

_CALL = "select * from ml.wait_for_score(%s::uuid, make_interval(secs => %s))"


@dataclass(frozen=True, slots=True)
class Score:
    """What a row says of itself when the wait is over; the columns of ``ml.wait_for_score``."""

    confidence: float | None
    """The effective one, 0 to 1; None where the application gave none and there is no score."""
    ml_confidence: float | None
    source: str
    """``blend`` or ``rule``: which of them ``confidence`` is."""
    reason: str
    """As in ``ml_metadata``; ``pending`` when the time was up first."""
    model_version: str | None
    waited: timedelta


def wait_for_score(connection: psycopg.Connection[Any], pattern: UUID | str, seconds: float = 5.0) -> Score:
    """Wait up to ``seconds`` until the pattern is scored or has fallen back.

    ``pattern`` is what ``insert ... returning id`` gives; its transaction must have committed. ``connection`` is at
    READ COMMITTED, the default, and waits; a connection that is not in autocommit mode is left in a transaction. Raises
    psycopg.errors.NoDataFound when there is no such pattern, psycopg.errors.InvalidTransactionState when the
    transaction could not see its score.
    """
    with connection.cursor(row_factory=class_row(Score)) as cursor:
        found = cursor.execute(_CALL, [pattern, seconds]).fetchone()
    assert found is not None, "a function with out parameters answers one row"
    return found


async def wait_for_score_async(
    connection: psycopg.AsyncConnection[Any], pattern: UUID | str, seconds: float = 5.0
) -> Score:
    """As :func:`wait_for_score`, without holding up the event loop."""
    async with connection.cursor(row_factory=class_row(Score)) as cursor:
        found = await (await cursor.execute(_CALL, [pattern, seconds])).fetchone()
    assert found is not None, "a function with out parameters answers one row"
    return found
