"""One slice in one process: each page writes its rows and its entry in the ledger in one transaction."""

from __future__ import annotations

import json
import logging
import os
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

import psycopg

from db_functions.bulk import sessions
from db_functions.bulk.bits import Pins, code
from db_functions.bulk.sessions import Session, Stopping
from db_functions.database import database_url
from db_functions.errors import (
    CONTENTION,
    ChampionChanged,
    DatabaseUnavailable,
    InvalidUrl,
    ReplicaRefused,
    SchemaMissing,
    WorkerRefused,
    first_line,
    translated,
)
from db_functions.queries import fetch_value, fetch_values, query

logger = logging.getLogger(__name__)

PAGE_ROWS: Final = 512
SLICE_PAGES: Final = 16
_RETRY_S = 0.2
_TRIES: Final = 100
"""How often a page is tried while other sessions are in its way."""


@dataclass(frozen=True, slots=True)
class Task:
    """What is sent to a process: no rows, no model, no URL. The process takes ``DATABASE_URL`` from its environment."""

    job: str
    slice: int
    selection: Mapping[str, Any]
    pins: Pins
    code: str
    replica: bool = False


class Outcome(NamedTuple):
    """How a slice ended, as its process says. Raised exceptions would not survive every engine's pickling."""

    state: Literal["done", "moved", "refused", "unreachable", "failed"]
    message: str = ""


class _Moved(Exception):
    """Other models serve than those of the job."""


Opener = Callable[[Mapping[str, Any], bool], Session]


def work_off(
    task: Task,
    open_session: Opener,
    stopping: Stopping,
    run: Callable[[Task, Session, Stopping], Outcome] | None = None,
) -> Outcome:
    """Work off the open pages of a slice. Running it twice, or at two places at once, changes nothing.

    ``run`` does so for a job whose ledger is not in the database.
    """
    if task.code != code():
        return Outcome("refused", f"{_here()} runs other code than the driver: install the same version there")
    try:
        with translated():
            session = session_of(task.selection, open_session, replica=task.replica)
            return (run or _pages)(task, session, stopping)
    except _Moved:
        return Outcome("moved", f"other models serve at {_here()}")
    except (WorkerRefused, ReplicaRefused, InvalidUrl, SchemaMissing) as error:
        return Outcome("refused", f"{_here()}: {first_line(error)}")
    except Exception as error:  # noqa: BLE001  # the driver judges; the pages that were done are kept
        if not is_unreachable(error):
            return Outcome("failed", f"{_here()}: {first_line(error)}")
        sessions.drop()
        return Outcome("unreachable", f"{_here()}: {first_line(error)}")


def session_of(selection: Mapping[str, Any], open_session: Opener, *, replica: bool) -> Session:
    """The session of this thread for a selection."""
    key = (open_session, database_url(), json.dumps(selection, default=str, sort_keys=True), replica)
    session: Session = sessions.keep(key, lambda: open_session(selection, replica))
    return session


def is_unreachable(error: Exception) -> bool:
    """Whether the database was away, which is no fault of the slice."""
    if isinstance(error, psycopg.OperationalError):
        state = error.sqlstate or "08"
        return state[:2] == "08" or state[:3] == "57P"
    return isinstance(error, DatabaseUnavailable) and not isinstance(error, InvalidUrl)


def require_pins(session: Session, wanted: Pins) -> None:
    """Raises WorkerRefused where the models of a job answer in other bits."""
    pins = session.pins()
    if pins.models != wanted.models:
        raise _Moved
    if pins.bits != wanted.bits:
        raise WorkerRefused(
            "the model answers its golden rows in other bits here, as another kind of CPU or another version of NumPy "
            "or ONNX Runtime does; nothing was written"
        )


def _pages(task: Task, session: Session, stopping: Stopping) -> Outcome:
    if not fetch_value(session.connection, "job_known", {"job": task.job}):
        raise WorkerRefused("DATABASE_URL names another database than the driver's")
    session.refresh()
    require_pins(session, task.pins)
    pages = fetch_values(session.connection, "open_pages", {"job": task.job, "slice": task.slice})
    error: Exception | None = None
    for page in pages:
        if stopping():
            break
        try:
            _page(task, session, page, stopping)
        except (WorkerRefused, _Moved):
            raise
        except Exception as caught:
            if is_unreachable(caught):
                raise
            error = error or caught
    if error is not None:
        raise error
    return Outcome("done")


def _page(task: Task, session: Session, page: int, stopping: Stopping) -> None:
    live = 0
    for tried in range(_TRIES):
        live += session.before(stopping)
        if stopping():
            return
        try:
            with session.connection.transaction():
                place = {"job": task.job, "page": page}
                ids = fetch_value(session.connection, "take_page", place)
                if ids is None:
                    return
                found = {**session.work(ids), "live": live}
                # A champion may have followed another while the page was scored.
                require_pins(session, task.pins)
                session.connection.execute(query("finish_page"), {**place, "found": json.dumps(found)})
        except (*CONTENTION, ChampionChanged) as error:
            # A live worker is writing some of these rows, in another order; or another process has the page.
            logger.warning(
                "trying a page again after contention: %(error)s",
                {"event": "page_contended", "error": first_line(error)},
            )
            if tried == _TRIES - 1:
                raise
            time.sleep(_RETRY_S)
        else:
            return


def _here() -> str:
    return f"worker process {os.getpid()} on {socket.gethostname()}"
