"""Regular work beside scoring: adding up counts, raising alerts, labelling outcomes, dropping old data.

It runs in a thread with its own connection, so that no row waits for it. Every worker has one: each function locks a
row of ml_internal.tasks, and the second to come finds nothing to do. A task that fails is tried again at its next turn,
and noted for ``ml.alerts``.
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
from db_functions.errors import DatabaseUnavailable, first_line
from db_functions.queries import fetch_value, query
from db_functions.sessions import discard_plans, prepare_upkeep
from worker.log import event

logger = logging.getLogger(__name__)

EVERY_S: Final[Mapping[str, float]] = {
    "fold": 5.0,
    "fold_skill": 15.0,
    "check_alerts": 15.0,
    "label_due": 60.0,
    "renew_weights": 300.0,
    "prune": 600.0,
    "make_partitions": 3600.0,
    "drop_partitions": 3600.0,
}
"""How often each task is due; a task is a named query that returns how much it did."""
_DID: Final[Mapping[str, str]] = {
    "check_alerts": "alerts raised, changed or cleared",
    "label_due": "outcomes labelled",
    "renew_weights": "weights of the blend renewed from unseen outcomes",
    "prune": "log entries and counts dropped that are no longer read",
    "drop_partitions": "months of ml.predictions dropped",
}
"""What is worth a line in the log."""
_LABELS_AT_ONCE: Final = 20_000
_RETRY_S: Final = 5.0
_STOP_S: Final = 5.0


@dataclass
class Upkeep:
    """Runs the tasks until stopped. ``every_s`` differs from :data:`EVERY_S` in tests only."""

    url: str | None
    every_s: Mapping[str, float] = field(default_factory=lambda: EVERY_S)

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._connection: Connection | None = None
        self._failing = set[str]()
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End soon: cancel the task that runs, and leave it to the next worker."""
        self._stop.set()
        connection = self._connection
        if connection is not None and not connection.closed:
            try:
                connection.cancel_safe(timeout=_STOP_S)
            except psycopg.Error as error:
                logger.debug("upkeep not cancelled: %(error)s", event("upkeep_not_cancelled", error=first_line(error)))
        self._thread.join(_STOP_S)

    def _run(self) -> None:
        # A worker that has only just started labels nothing: its operator may want to look first.
        due = {
            task: time.monotonic() + (every_s if task == "label_due" else 0) for task, every_s in self.every_s.items()
        }
        while not self._stop.is_set():
            try:
                with connect(self.url, application_name="pattern-scoring upkeep", autocommit=True) as connection:
                    self._connection = connection
                    prepare_upkeep(connection)
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
            discard_plans(connection)  # the logs have grown since, or shrunk
            done = fetch_value(connection, task, {"max_rows": _LABELS_AT_ONCE})
        except psycopg.Error as error:
            # The caller reconnects after a lost connection; any other error must not keep the other tasks waiting.
            if connection.closed or self._stop.is_set():
                raise
            logger.warning(
                "upkeep task %(task)s failed, to be tried again: %(error)s",
                event("upkeep_failed", task=task, error=first_line(error)),
            )
            self._failing.add(task)
            connection.execute(query("note_task"), {"task": task, "error": first_line(error)})
            return
        if task in self._failing:
            self._failing.remove(task)
            connection.execute(query("note_task"), {"task": task, "error": None})
        if done and task in _DID:
            logger.info("upkeep: %(done)d %(what)s", event("upkeep_done", task=task, done=done, what=_DID[task]))
