"""How cost grows: with the backlog, with the table, with the number of workers."""

from __future__ import annotations

import time
from typing import Final

from bench.drain import drain, timed
from bench.harness import Bench, Recorder, connect, drained, enqueue, store, workers
from db_functions.database import Connection
from worker.engine import BATCH
from worker.marks import Marks

ROWS: Final = 10_000
BACKLOGS: Final = (10_000, 100_000, 300_000)
TABLES: Final = (10_000, 100_000, 1_000_000)
WORKERS: Final = (1, 2, 3, 4)


def measure(bench: Bench, recorder: Recorder) -> None:
    for repeat in range(max(1, recorder.repeats - 1)):  # filling takes longer than measuring
        for backlog in BACKLOGS:
            recorder.note(
                "backlog", recorder.scaled(backlog), "rows/s", _backlog(bench, recorder.scaled(backlog)), repeat
            )
        for table in TABLES:
            recorder.note("table", recorder.scaled(table), "rows/s", _table(bench, recorder.scaled(table)), repeat)
        for number in WORKERS:
            recorder.note("workers", number, "rows/s", _workers(bench, recorder.scaled(2 * ROWS), number), repeat)


def _backlog(bench: Bench, backlog: int) -> float:
    """The first rows of a backlog, one engine."""
    with bench.database() as url, connect(url) as connection, timed(url) as (engine, _):
        store(connection, backlog)
        enqueue(connection)
        marks, total, began = Marks(), 0, time.perf_counter()
        while total < ROWS and (found := engine.score_queue(BATCH, marks.hot)):
            marks.claimed(engine.last_claimed)
            total += found
        return total / (time.perf_counter() - began)


def _table(bench: Bench, rows: int) -> float:
    """New rows of a table that holds many scored ones, one engine."""
    with bench.database() as url, connect(url) as connection, timed(url) as (engine, _):
        store(connection, rows)
        _call_scored(connection)
        store(connection, ROWS)
        count = enqueue(connection)
        began = time.perf_counter()
        drain(engine)
        return count / (time.perf_counter() - began)


def _call_scored(connection: Connection) -> None:
    connection.execute("alter table pattern_events disable trigger user")
    connection.execute("update pattern_events set scored_at = created_at")
    connection.execute("alter table pattern_events enable trigger user")


def _workers(bench: Bench, rows: int, number: int) -> float:
    with bench.database() as url, connect(url) as connection, workers(url, number):
        store(connection, rows)
        began = time.monotonic()
        count = enqueue(connection)
        drained(connection)
        return count / (time.monotonic() - began)
