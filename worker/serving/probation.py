"""After an unclean end: a row that kills its process would do so again and again, since a row lock leaves no trace.

When a worker of this host ended without a goodbye, the next one scores the oldest rows one at a time. It locks a row,
marks it over another connection in a commit of its own, and removes the mark in the commit that scores the row. So a
mark on a row that is not locked means that a process died while it scored this row alone. Rows with such marks come
last, when others have shown that this process can score at all; one with several marks becomes a dead letter.

A row whose write is cancelled, by a trigger of the application that takes too long or says so, is found likewise: the
mark stays, since the transaction that would remove it is rolled back.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass

import psycopg

from db_functions.database import Connection
from db_functions.queries import fetch_value, fetch_values, query
from worker.serving.engine import BATCH, Engine
from worker.serving.listener import Signals

logger = logging.getLogger(__name__)

DEATHS = 3
"""How often a row alone may end its process or its statement; a kill from outside hits good rows too, rarely twice."""
_ANY = 2**63 - 1


def unclean(connection: Connection, worker_id: int) -> bool:
    """Whether a process of this host has ended without a goodbye since this was last asked; closes its record."""
    host = socket.gethostname()
    pids = fetch_values(connection, "unfinished_workers", {"host": host, "worker": worker_id})
    gone = [pid for pid in pids if not _is_alive(pid)]
    if not gone:
        return False
    connection.execute(query("bury_workers"), {"host": host, "pids": gone, "worker": worker_id})
    return True


def serve(engine: Engine, marking: Connection, signals: Signals, rows: int = BATCH) -> int:
    """Score up to ``rows`` of the oldest rows one by one, then the marked ones; returns how many were given up.

    ``marking`` is another connection than the engine's, in autocommit mode.
    """
    marked: list[int] = fetch_value(engine.connection, "review_suspects")
    after, given_up = 0, 0
    for _ in range(rows):
        row = _score_alone(engine, marking, after=after, until=_ANY, skip=marked)
        if row is None or signals.stopping:
            break
        after, given_up = row.queue_id, given_up + row.given_up
    for queue_id in marked:
        if not signals.stopping:
            row = _score_alone(engine, marking, after=queue_id - 1, until=queue_id, skip=[])
            given_up += row.given_up if row else 0
    return given_up


@dataclass(frozen=True, slots=True)
class _Row:
    """A row that was scored alone, or given up."""

    queue_id: int
    given_up: int = 0


def _score_alone(engine: Engine, marking: Connection, *, after: int, until: int, skip: Sequence[int]) -> _Row | None:
    """Score the oldest row between two ids, or give it up; None when there is none that this process can lock."""
    queue_id: int | None = None
    try:
        with engine.connection.transaction():
            queue_id = fetch_value(engine.connection, "lock_queued", {"after": after, "until": until, "but": skip})
            return None if queue_id is None else _score_locked(engine, marking, queue_id)
    except psycopg.errors.QueryCanceled:
        if queue_id is None:
            raise
        return _Row(queue_id)


def _score_locked(engine: Engine, marking: Connection, queue_id: int) -> _Row:
    """Score a row that this process has locked, or give it up."""
    # While the row is locked, so that no other process that lives can have marked it.
    tries = fetch_value(marking, "mark_suspect", {"queue_id": queue_id})
    given_up = 0
    if tries > DEATHS:
        error = f"{DEATHS} times the process died, or the statement was cancelled, while it scored this row alone"
        given_up = engine.dead_letter(queue_id, error, DEATHS)
        if not given_up:
            return _Row(queue_id)  # an application has locked its pattern: the mark stays
    else:
        engine.score_queue(1, queue_id - 1)
    engine.connection.execute(query("clear_suspect"), {"queue_id": queue_id})
    return _Row(queue_id, given_up)


def _is_alive(pid: int) -> bool:
    if pid == os.getpid():
        return False  # a process that is gone had the same number, as it always does in a container
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
