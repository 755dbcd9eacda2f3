"""After an unclean start: a row that kills the process would do so for ever, since a row lock leaves no trace.

A worker that finds that another of its host ended without goodbye scores the oldest rows one at a time. It locks a row,
marks it in a commit of its own, over another connection, and takes the mark away in the commit that scores the row. So
a mark on a row that nobody has locked means: a process died with this row alone in hand. Rows with such marks come
last, when others have shown that this process can score at all; one with several is dead-lettered.
"""

from __future__ import annotations

import logging
import os
import socket

from db_functions.database import Connection
from db_functions.queries import query
from worker.serving.engine import BATCH, Engine
from worker.serving.listener import Signals

logger = logging.getLogger(__name__)

DEATHS = 3
"""How often a process may die with the row alone in hand; kills from outside hit good rows too, though rarely twice."""
_ANY = 2**63 - 1


def unclean(connection: Connection, worker_id: int) -> bool:
    """Whether a process of this host has ended without goodbye since the last one looked; closes its record."""
    host = socket.gethostname()
    pids = connection.execute(query("unfinished_workers"), {"host": host, "worker": worker_id}).fetchall()
    gone = [pid for (pid,) in pids if not _alive(pid)]
    if not gone:
        return False
    connection.execute(query("bury_workers"), {"host": host, "pids": gone, "worker": worker_id})
    return True


def serve(engine: Engine, marking: Connection, signals: Signals, rows: int = BATCH) -> int:
    """Score up to ``rows`` of the oldest rows one by one, then those that are marked; returns how many were given up.

    ``marking`` is another connection than the engine's, in autocommit mode.
    """
    row = engine.connection.execute(query("review_suspects")).fetchone()
    assert row is not None
    marked: list[int] = row[0]
    after, killers = 0, 0
    for _ in range(rows):
        found, killed = _alone(engine, marking, {"after": after, "until": _ANY, "but": marked})
        if found is None or signals.stopping:
            break
        after, killers = found, killers + killed
    for queue_id in marked:
        if not signals.stopping:
            killers += _alone(engine, marking, {"after": queue_id - 1, "until": queue_id, "but": []})[1]
    return killers


def _alone(engine: Engine, marking: Connection, which: dict[str, object]) -> tuple[int | None, int]:
    """Score one row, or give it up; its id, None when there is none to be had, and 1 if it was given up."""
    with engine.connection.transaction():
        row = engine.connection.execute(query("lock_queued"), which).fetchone()
        if row is None:
            return None, 0
        queue_id: int = row[0]
        # While it is locked, so that nobody else can have marked it and live.
        mark = marking.execute(query("mark_suspect"), {"queue_id": queue_id}).fetchone()
        assert mark is not None
        killed = 0
        if mark[0] > DEATHS:
            killed = engine.dead_letter(
                queue_id, f"the process died {DEATHS} times while scoring this row alone", DEATHS
            )
            if not killed:
                return queue_id, 0  # an application has its pattern locked: the mark stays
        else:
            engine.score_queue(1, queue_id - 1)
        engine.connection.execute(query("clear_suspect"), {"queue_id": queue_id})
        return queue_id, killed


def _alive(pid: int) -> bool:
    if pid == os.getpid():
        return False  # the number was used before, by a process that is gone: in a container it is always the same
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
