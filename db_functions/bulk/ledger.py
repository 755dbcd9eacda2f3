"""A job whose ledger is in the database: ``ml_internal.jobs`` and ``ml_internal.pages``."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Literal, NamedTuple

from psycopg.rows import class_row

from db_functions.bulk import sessions
from db_functions.bulk.bits import Pins, code
from db_functions.bulk.driver import How, OpenSlice, drive
from db_functions.bulk.engines import Pool, in_process
from db_functions.bulk.sessions import Session
from db_functions.bulk.tasks import PAGE_ROWS, SLICE_PAGES, Opener, Outcome, Task, session_of
from db_functions.database import Connection, connect
from db_functions.errors import CONTENTION, WorkerRefused, translated
from db_functions.queries import fetch_all, fetch_row, fetch_value, query

Run = Callable[..., Outcome]
Kind = Literal["backfill", "replay"]


@dataclass(frozen=True, slots=True)
class JobState:
    """The row of ``job``."""

    id: str
    models: list[int] | None
    bits: str | None
    started_at: datetime
    open: int
    rows: int
    done: int
    found: dict[str, float]
    """What the pages that are done have found, summed up."""


@dataclass(frozen=True, slots=True)
class _Opened:
    """The row of ``open_job``."""

    id: str
    is_new: bool


class Worked(NamedTuple):
    """What came of a job, an earlier run included."""

    found: Mapping[str, float]
    resumed: int
    """Rows that an earlier run had done."""
    live: int
    """Live rows that went first, before the plan."""
    kept: int
    """Of a rescore, rows that keep the score they had."""
    failed: Mapping[int, str]
    """Slices that were given up, with the reason."""


def run_job(kind: Kind, selection: Mapping[str, Any], run: Run, opener: Opener, how: How) -> Worked:
    """Plan a job, or go on with the one that was begun, and work it off."""
    try:
        with Pool(how.engine) as pool, closing(Job(kind, selection, run, opener, how)) as job:
            resumed = job.state().done
            failed = drive(job, pool, how, kind)
            state = job.state()
            kept = fetch_value(job.connection, "backfill_kept", {"job": job.id}) if selection.get("rescore") else 0
            if not state.open:
                job.finish()
    finally:
        sessions.close_kept()
    return Worked(state.found, resumed, job.live, kept, failed)


class Job:
    """A planned job; ``run`` is the task of a slice, which processes import by its name."""

    def __init__(
        self,
        kind: Kind,
        selection: Mapping[str, Any],
        run: Run,
        opener: Opener,
        how: How,
    ) -> None:
        self._run: Run = partial(run, stopping=how.stopping) if how.engine is in_process else run
        self._opener, self._replica = opener, how.replica
        self._selection = selection
        self._open: Connection | None = None
        try:
            with translated():
                self.live = self._session().before(how.stopping)
                """Live rows that were scored before the plan."""
                self.id = self._plan(kind)
                self._pins = self._own_pins()
                self._require_bits(self.state())
                self._pin()
        except BaseException:
            self.close()
            raise

    def _plan(self, kind: str) -> str:
        selection = json.dumps(self._selection, default=str, sort_keys=True)
        while True:
            try:
                with self.connection.transaction():
                    opened = fetch_row(self.connection, "open_job", _Opened, {"kind": kind, "selection": selection})
                    if opened.is_new:
                        sizes = {"page_rows": PAGE_ROWS, "slice_pages": SLICE_PAGES}
                        self.connection.execute(query(f"plan_{kind}"), {**self._selection, **sizes, "job": opened.id})
            except CONTENTION:
                continue  # Another driver is planning the same job.
            else:
                return opened.id

    @property
    def connection(self) -> Connection:
        """The driver's own connection, whose commits wait for the disk; made again when it was lost."""
        if self._open is None or self._open.closed:
            self._open = connect(application_name="pattern-scoring bulk", autocommit=True)
        return self._open

    def state(self) -> JobState:
        return fetch_row(self.connection, "job", JobState, {"job": self.id})

    def open_slices(self, beside: Collection[int], limit: int) -> Sequence[OpenSlice]:
        parameters = {"job": self.id, "beside": list(beside), "limit": limit}
        return fetch_all(self.connection, "open_slices", class_row(OpenSlice), parameters)

    def left(self) -> int:
        left: int = fetch_value(self.connection, "open_rows", {"job": self.id})
        return left

    def call(self, number: int) -> Sequence[Any]:
        return self._run, Task(self.id, number, self._selection, self._pins, code(), self._replica)

    def repin(self) -> bool:
        before, self._pins = self._pins, self._own_pins()
        self._pin()
        return before != self._pins

    def finish(self) -> None:
        """End the job. With this commit everything that its processes have written is on disk."""
        self.connection.execute(query("finish_job"), {"job": self.id})

    def close(self) -> None:
        if self._open is not None:
            self._open.close()

    def _require_bits(self, begun: JobState) -> None:
        if begun.models == list(self._pins.models) and begun.bits != self._pins.bits:
            raise WorkerRefused("this machine answers in other bits than the one that began the job: go on there")

    def _pin(self) -> None:
        parameters = {"job": self.id, "models": list(self._pins.models), "bits": self._pins.bits}
        self.connection.execute(query("pin_job"), parameters)

    def _own_pins(self) -> Pins:
        """The models as this process loads them."""
        session = self._session()
        session.refresh()
        return session.pins()

    def _session(self) -> Session:
        return session_of(self._selection, self._opener, replica=self._replica)
