"""Historical rows over many series by ``python -m worker backfill``: rate, and whether memory stays flat."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from bench.drain import insert_scattered, insert_series
from bench.harness import Bench
from bench.results import Recorder
from bench.server import connect

ROWS: Final = 1_000_000
SERIES: Final = 200


def measure(bench: Bench, recorder: Recorder) -> None:
    rows = recorder.scaled(ROWS)
    for repeat in range(recorder.few):
        with bench.database() as url, connect(url) as connection:
            connection.execute("alter table pattern_events disable trigger ml_enqueue")
            insert_series(connection, SERIES)
            insert_scattered(connection, SERIES, rows)
            seconds, resident = _run(url)
        recorder.note("backfill", rows, "rows/s", rows / seconds, repeat)
        recorder.note("backfill", rows, "MB at half", max(resident[: len(resident) // 2 + 1]), repeat)
        recorder.note("backfill", rows, "MB at most", max(resident), repeat)


def _run(url: str) -> tuple[float, list[float]]:
    """Seconds taken, its start included, and megabytes resident every tenth of a second."""
    resident: list[float] = []
    began = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-m", "worker", "backfill"],
        env={**os.environ, "DATABASE_URL": url},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        while process.poll() is None:
            if (size := _resident_mb(process.pid)) is not None:
                resident.append(size)
            time.sleep(0.1)
    assert process.returncode == 0, "backfill failed"
    return time.monotonic() - began, resident


def _resident_mb(pid: int) -> float | None:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
