"""A backfill on each engine, one after the other in turns: rates beside each other, and what the ledger costs."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from typing import Final

from bench.drain import insert_scattered, insert_series
from bench.harness import Bench
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
