"""A busy market: thousands of series whose bars are appended all the time, and patterns on their newest bars."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Final

from bench.drain import insert_series
from bench.harness import COLUMNS, Bench, workers
from bench.latency import LATENCIES, quantiles
from bench.results import Recorder
from bench.server import connect
from db_functions.database import Connection

SERIES: Final = 10_000
BARS_PER_S: Final = 1_000
PATTERNS_PER_S: Final = 100
LASTS_S: Final = 600
LIMIT_MS: Final = 75.0
OURS: Final = "one worker"
_TICKS_PER_S: Final = 10
_APPEND: Final = """
insert into price_bars
select 'S' || 1 + n %% v.series, '1d', timestamptz '2023-01-01 21:00+00' + (201 + n / v.series) * interval '1 day',
       p, p * 1.01, p * 0.99, p * 1.005, 1000
from (select %(series)s::integer as series, %(first)s::integer as first, %(count)s::integer as count) v,
     generate_series(v.first, v.first + v.count - 1) n, lateral (select 100 + n %% 7 as p) b
"""
_PATTERN: Final = f"""
insert into pattern_events ({COLUMNS})
select 'S' || 1 + v.n %% v.series, '1d', 'engulfing',
       timestamptz '2023-01-01 21:00+00' + (201 + v.n / v.series) * interval '1 day', null, null, null, 105, 100, 95,
       0.6, '{{}}'
from (select %(series)s::integer as series, %(n)s::integer as n) v
"""


def measure(bench: Bench, recorder: Recorder) -> None:
    """Latency and memory in each quarter of the time; one run, since it is long."""
    series, seconds = min(SERIES, recorder.scaled(4 * SERIES)), LASTS_S * min(1.0, recorder.scale)
    with bench.database() as url, connect(url) as connection:
        insert_series(connection, series)
        with workers(url, 1):
            over = threading.Event()
            writers = [threading.Thread(target=write, args=(url, series, over)) for write in (_append, _detect)]
            for writer in writers:
                writer.start()
            for quarter in range(1, 5):
                _quarter(connection, recorder, quarter, seconds / 4)
            over.set()
            for writer in writers:
                writer.join()


def _quarter(connection: Connection, recorder: Recorder, quarter: int, seconds: float) -> None:
    connection.execute("drop table if exists bench.before")
    connection.execute("create table bench.before as select id from pattern_events")
    bars = _bars(connection)
    began = time.monotonic()
    time.sleep(seconds)
    p50, p99 = quantiles([ms for (ms,) in connection.execute(LATENCIES, [False]).fetchall()])
    recorder.note(OURS, f"quarter {quarter}", "p50 ms", p50)
    recorder.note(OURS, f"quarter {quarter}", "p99 ms", p99)
    recorder.note(OURS, f"quarter {quarter}", "bars/s", (_bars(connection) - bars) / (time.monotonic() - began))
    recorder.note(OURS, f"quarter {quarter}", "seconds", seconds)
    recorder.note(OURS, f"quarter {quarter}", "MB", _resident_mb(connection))


def _append(url: str, series: int, over: threading.Event) -> None:
    """Bars, a statement a tick, each of the next series in turn."""
    count, began, tick = BARS_PER_S // _TICKS_PER_S, time.monotonic(), 0
    with connect(url) as connection:
        while not over.is_set():
            connection.execute(_APPEND, {"series": series, "first": tick * count, "count": count})
            tick += 1
            time.sleep(max(0.0, began + tick / _TICKS_PER_S - time.monotonic()))


def _detect(url: str, series: int, over: threading.Event) -> None:
    """Single patterns, each on one of the series that were appended to within the last second."""
    began, number = time.monotonic(), 0
    with connect(url) as connection:
        while not over.is_set():
            newest = int((time.monotonic() - began) * BARS_PER_S)
            connection.execute(_PATTERN, {"series": series, "n": max(0, newest - 200 - number % 7 * 100)})
            number += 1
            time.sleep(max(0.0, began + number / PATTERNS_PER_S - time.monotonic()))


def _bars(connection: Connection) -> int:
    row = connection.execute("select count(*) from price_bars where symbol like 'S%'").fetchone()
    assert row is not None
    return int(row[0])


def _resident_mb(connection: Connection) -> float:
    """Of the worker's process."""
    row = connection.execute("select pid from ml.workers where stopped_at is null").fetchone()
    assert row is not None
    pages = int(Path(f"/proc/{row[0]}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
