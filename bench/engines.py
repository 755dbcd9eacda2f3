"""A backfill on each engine, one after the other in turns: rates beside each other, what the ledger costs, and what a
backfill does to live rows of the same database.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from contextlib import ExitStack
from typing import Final

from bench.drain import insert_scattered, insert_series
from bench.harness import Bench, wait_until, workers
from bench.latency import INSERT, LATENCIES, insert_steadily, quantiles
from bench.results import Recorder
from bench.server import connect
from db_functions.bulk.tasks import PAGE_ROWS, SLICE_PAGES
from db_functions.database import Connection
from db_functions.queries import fetch_value, query

ROWS: Final = 150_000
SERIES: Final = 200
ENGINES: Final = {
    "one process": [],
    "processes, 1": ["--engine", "process", "--processes", "1"],
    "processes, 2": ["--engine", "process", "--processes", "2"],
    "Dask, 1": ["--engine", "dask", "--processes", "1"],
    "Dask, 2": ["--engine", "dask", "--processes", "2"],
}
LIVE_PER_S: Final = 50
LIVE_S: Final = 8.0
ALONE: Final = "live rows alone"
BESIDE: Final = "live rows beside a backfill by two processes"
_PAGES: Final = 500


def measure(bench: Bench, recorder: Recorder) -> None:
    rows = recorder.scaled(ROWS)
    for repeat in range(recorder.repeats):
        for name in random.sample(list(ENGINES), len(ENGINES)):
            with bench.database() as url, connect(url) as connection:
                connection.execute("alter table pattern_events disable trigger ml_enqueue")
                insert_series(connection, SERIES)
                insert_scattered(connection, SERIES, rows)
                whole_s = _run(url, ENGINES[name])
                recorder.note(name, rows, "rows/s", _rate(connection), repeat)
                recorder.note(name, rows, "rows/s, start included", rows / whole_s, repeat)
                if name == "one process":
                    recorder.note("the ledger", rows, "us/row", _ledger_s(connection) / PAGE_ROWS * 1e6, repeat)
        for name, bulk in ((ALONE, False), (BESIDE, True)):
            p50, p99 = quantiles(_live(bench, rows, bulk=bulk))
            recorder.note(name, rows, "p50 ms", p50, repeat)
            recorder.note(name, rows, "p99 ms", p99, repeat)


def _live(bench: Bench, rows: int, *, bulk: bool) -> list[float]:
    """Milliseconds from insert to score, of rows that come while a backfill works, or none does."""
    with bench.database() as url, connect(url) as connection, ExitStack() as stack:
        connection.execute("alter table pattern_events disable trigger ml_enqueue")
        insert_series(connection, SERIES)
        insert_scattered(connection, SERIES, 4 * rows)
        connection.execute("alter table pattern_events enable trigger ml_enqueue")
        stack.enter_context(workers(url, 1))
        insert_steadily(url, INSERT, LIVE_PER_S, 1.0)
        connection.execute("create table bench.before as select id from pattern_events")
        if bulk:
            command = [sys.executable, "-m", "worker", "backfill", *ENGINES["processes, 2"]]
            environment = {**os.environ, "DATABASE_URL": url}
            backfill = subprocess.Popen(
                command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, process_group=0
            )
            stack.callback(_stop, backfill)
            pages = "select from ml_internal.pages where done_at is not null limit 1"
            wait_until(lambda: connection.execute(pages).fetchone() is not None, 60)
        insert_steadily(url, INSERT, LIVE_PER_S, LIVE_S)
        assert not bulk or backfill.poll() is None, "the backfill ended before the live rows"
        time.sleep(1.0)
        return [ms for (ms,) in connection.execute(LATENCIES, [False]).fetchall()]


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(60)


def _run(url: str, arguments: list[str]) -> float:
    began = time.monotonic()
    command = [sys.executable, "-m", "worker", "backfill", *arguments]
    subprocess.run(command, env={**os.environ, "DATABASE_URL": url}, check=True, capture_output=True)
    return time.monotonic() - began


def _rate(connection: Connection) -> float:
    """Rows a second from the first page that was written to the last."""
    row = connection.execute(
        "select count(*) / extract(epoch from max(scored_at) - min(scored_at))::float8 from ml.predictions"
    ).fetchone()
    assert row is not None
    return float(row[0])


def _ledger_s(connection: Connection) -> float:
    """Seconds a page for its plan, to take it and to enter it; the transaction is the page's in any case."""
    parameters = {"rescore": True, "symbol": None, "since": None, "limit": _PAGES * PAGE_ROWS}
    sizes = {"page_rows": PAGE_ROWS, "slice_pages": SLICE_PAGES}
    began = time.perf_counter()
    with connection.transaction():
        job = fetch_value(connection, "open_job", {"kind": "backfill", "selection": "{}"})
        connection.execute(query("plan_backfill"), {**parameters, **sizes, "job": job})
        row = connection.execute("select count(*) from ml_internal.pages").fetchone()
        assert row is not None
        for page in range(row[0]):
            fetch_value(connection, "take_page", {"job": job, "page": page})
            connection.execute(query("finish_page"), {"job": job, "page": page, "found": '{"rows": 512, "live": 0}'})
        connection.execute(query("finish_job"), {"job": job})
    return (time.perf_counter() - began) / int(row[0])
