"""What is done now and then, beside scoring: counts added up, alerts raised, outcomes labelled, old data dropped.

A thread with a connection of its own, so that no row waits for it. Every worker has one; the functions take an advisory
lock each, and whoever comes second finds nothing to do. What fails is tried again at its next turn: scoring goes on.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import psycopg

from db_functions.database import Connection, connect
from db_functions.errors import DatabaseUnavailable
from db_functions.model import first_line
from db_functions.queries import query
from worker.log import event
from worker.serving.engine import pooled

logger = logging.getLogger(__name__)

EVERY_S: Final[Mapping[str, float]] = {
    "fold": 5.0,
    "check_alerts": 15.0,
    "label_due": 60.0,
    "prune": 600.0,
    "make_partitions": 3600.0,
    "drop_partitions": 3600.0,
}
"""The tasks, each a named query that returns how much it did, and how often they are due."""
_DID: Final[Mapping[str, str]] = {
    "check_alerts": "alerts raised, changed or cleared",
    "label_due": "outcomes labelled",
    "prune": "log entries and counts that nobody reads any more dropped",
    "drop_partitions": "months of ml.predictions dropped",
}
"""What is worth a line; a fold is not, nor are partitions of months to come."""
_LABELS_AT_ONCE: Final = 20_000
_TIMEOUT: Final = "10min"
_RETRY_S: Final = 5.0
_STOP_S: Final = 5.0


@dataclass
class Upkeep:
    """Runs the tasks until stopped. ``every_s`` is :data:`EVERY_S` but for tests."""

    url: str | None
    every_s: Mapping[str, float] = field(default_factory=lambda: EVERY_S)

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._connection: Connection | None = None
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End soon: what is being done is cancelled, and left to the next worker."""
        self._stop.set()
        connection = self._connection
        if connection is not None and not connection.closed:
            try:
                connection.cancel_safe(timeout=_STOP_S)
            except psycopg.Error as error:
                logger.debug("upkeep not cancelled: %(error)s", event("upkeep_not_cancelled", error=first_line(error)))
        self._thread.join(_STOP_S)

    def _run(self) -> None:
        # Nothing is labelled by a worker that has hardly started: it may be somebody's who wants to look first.
        due = {
            task: time.monotonic() + (every_s if task == "label_due" else 0) for task, every_s in self.every_s.items()
        }
        while not self._stop.is_set():
            try:
                with connect(self.url, application_name="pattern-scoring upkeep", autocommit=True) as connection:
                    self._connection = connection
                    _prepare(connection)
                    self._work(connection, due)
            except (psycopg.OperationalError, psycopg.InterfaceError, DatabaseUnavailable) as error:
                if not self._stop.is_set():
                    logger.warning("upkeep lost the database: %(error)s", event("upkeep_lost", error=first_line(error)))
            self._stop.wait(_RETRY_S)

    def _work(self, connection: Connection, due: dict[str, float]) -> None:
        while not self._stop.is_set():
            task = min(due, key=lambda name: due[name])
            if self._stop.wait(max(0.0, due[task] - time.monotonic())):
                return
            due[task] = time.monotonic() + self.every_s[task]
            self._do(connection, task)

    def _do(self, connection: Connection, task: str) -> None:
        try:
            row = connection.execute(query(task), {"max_rows": _LABELS_AT_ONCE}).fetchone()
        except psycopg.Error as error:
            # A lost connection is made again by whoever called; anything else must not keep the other tasks waiting.
            if connection.closed or self._stop.is_set():
                raise
            logger.warning(
                "upkeep task %(task)s failed, to be tried again: %(error)s",
                event("upkeep_failed", task=task, error=first_line(error)),
            )
            return
        done = row[0] if row else 0
        if done and task in _DID:
            logger.info("upkeep: %(done)d %(what)s", event("upkeep_done", task=task, done=done, what=_DID[task]))


def _prepare(connection: Connection) -> None:
    if pooled(connection):
        # As for scoring: others get this server connection next.
        connection.prepare_threshold = None
        return
    connection.execute(f"set jit = off; set lock_timeout = '5s'; set statement_timeout = '{_TIMEOUT}'")
