"""The check of ``doctor`` for bars that workers keep in memory."""

from __future__ import annotations

from db_functions.bars import doubts
from db_functions.database import Connection
from worker.operating.finding import FAIL, OK, Finding


def check_bars(connection: Connection) -> Finding:
    """Whether workers hear of every change of bars; while one may go unheard they read bars for each batch."""
    found = doubts(connection)
    if found:
        text = "workers keep no bars in memory: " + "; ".join(f"{one.relation}: {one.doubt}" for one in found)
        return Finding(FAIL, text, "; ".join(dict.fromkeys(one.remedy for one in found)))
    return Finding(OK, "workers hear of every change, and keep bars in memory")
