"""After an unclean start: a row that kills the process would do so for ever, since a row lock leaves no trace.

A worker that finds that another of its host ended without goodbye scores the oldest rows one at a time, each marked
first in a commit of its own. A row that was being scored alone when the process died, several times, is dead-lettered.
"""

from __future__ import annotations

import logging
import os
import socket

from db_functions.database import Connection
from db_functions.queries import query
from worker.engine import BATCH, Engine

logger = logging.getLogger(__name__)

DEATHS = 5
"""How often a row may be alone with a process that dies; kills from outside hit good rows too, though rarely twice."""


def unclean(connection: Connection, worker_id: int) -> bool:
    """Whether a process of this host has ended without goodbye since the last one looked; closes its record."""
    host = socket.gethostname()
    pids = connection.execute(query("unfinished_workers"), {"host": host, "worker": worker_id}).fetchall()
    gone = [pid for (pid,) in pids if not _alive(pid)]
    if not gone:
        return False
    connection.execute(query("bury_workers"), {"host": host, "pids": gone, "worker": worker_id})
    return True


def serve(engine: Engine, rows: int = BATCH) -> int:
    """Score up to ``rows`` of the oldest rows one by one; returns how many were found to kill."""
    after, killers = 0, 0
    for _ in range(rows):
        found = engine.connection.execute(query("next_queued"), {"after": after}).fetchone()
        if found is None:
            break
        queue_id: int = found[0]
        marked = engine.connection.execute(query("mark_suspect"), {"queue_id": queue_id}).fetchone()
        assert marked is not None
        if marked[0] > DEATHS:
            killers += engine.dead_letter(
                queue_id, f"the process died {DEATHS} times while scoring this row alone", DEATHS
            )
        else:
            engine.score_queue(1, queue_id - 1)
        engine.connection.execute(query("clear_suspect"), {"queue_id": queue_id})
        after = queue_id
    return killers


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
