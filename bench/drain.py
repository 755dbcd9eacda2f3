"""Draining a backlog: one process and two, series cold and warm, beside peers; where the time of a row goes."""

from __future__ import annotations

import time
from typing import Final

from bench.engine import BATCH, drain, server_cpu_s, timed
from bench.harness import Bench, drained, enqueue, store, unwatched_bars, workers
from bench.peers import PEERS, drain_with_peer
from bench.results import Recorder
from bench.server import connect
from db_functions.database import Connection

ROWS: Final = 100_000
SERIES: Final = 2_000
BUDGET_ROWS: Final = 20_000
"""For the time of each part; more rows do not change it."""
_ALONE: Final = 500
_PEER_S: Final = 8.0
_BARS: Final = """
insert into price_bars
select 'S' || s, '1d', timestamptz '2023-01-01 21:00+00' + b * interval '1 day',
       p, p * 1.01, p * 0.99, p * (1 + 0.005 * sin(b * s)), 1000 + b
from generate_series(1, %s) s, generate_series(1, 200) b, lateral (select 100 * exp(0.1 * sin(b * 0.1 + s)) as p) v
"""
_ROWS: Final = """
insert into pattern_events (symbol, timeframe, pattern_type, detected_at, entry, stoploss, target, confidence)
select 'S' || (1 + abs(hashint4(n)::bigint) %% %s), '1d', 'engulfing',
       timestamptz '2023-01-01 21:00+00' + (140 + n %% 60) * interval '1 day', 100, 95, 105, 0.6
from generate_series(1, %s) n
"""


def measure(bench: Bench, recorder: Recorder) -> None:
    rows = recorder.scaled(ROWS)
    recorder.note("one engine", "before the drain", "rows waiting", rows)
    for repeat in range(recorder.repeats):
        for number in (1, 2):
            _many_series(bench, recorder, number, rows, repeat)
        for peer in PEERS:
            with bench.database() as url:
                with connect(url) as connection:
                    store(connection, rows)
                rate = drain_with_peer(url, peer, _PEER_S)
            recorder.note(peer.name, "waiting rows", "rows/s", rate, repeat)
        _budget(bench, recorder, min(rows, BUDGET_ROWS), repeat)


def _many_series(bench: Bench, recorder: Recorder, number: int, rows: int, repeat: int) -> None:
    """Rows of up to ``SERIES`` series: at first no worker has read one, then every worker keeps all of them."""
    series = series_of(rows)
    with bench.database() as url, connect(url) as connection:
        connection.execute("alter table pattern_events disable trigger ml_enqueue")
        insert_series(connection, series)
        with workers(url, number):
            for case in ("cold", "warm"):
                insert_scattered(connection, series, rows)
                began = time.monotonic()
                count = enqueue(connection)
                drained(connection)
                name = f"ours, {number} process{'es' if number > 1 else ''}"
                recorder.note(name, case, "rows/s", count / (time.monotonic() - began), repeat)


def series_of(rows: int) -> int:
    """How many series a drain of ``rows`` rows has: fewer than ``SERIES`` when the rows are few."""
    return min(SERIES, max(1, rows // 10))


def insert_series(connection: Connection, series: int) -> None:
    """Series ``S1``, ``S2``, ... of 200 daily bars each."""
    with unwatched_bars(connection):
        connection.execute(_BARS, [series])
    connection.execute("vacuum analyze price_bars")


def insert_scattered(connection: Connection, series: int, rows: int) -> None:
    """Rows that fall on those series in no order."""
    connection.execute(_ROWS, [series, rows])
    connection.execute("vacuum analyze pattern_events")
    connection.execute("checkpoint")


def _budget(bench: Bench, recorder: Recorder, rows: int, repeat: int) -> None:
    """One engine in this process, with the time of its parts."""
    with bench.database() as url, timed(url) as (engine, spent), connect(url) as connection:
        for count in (2_000, rows):
            store(connection, count)
            # Rows that fell back before are queued again, because they have no score.
            waiting = enqueue(connection)
            spent.clear()
            used, began = server_cpu_s(engine.connection), time.perf_counter()
            scored = drain(engine)
            whole = time.perf_counter() - began
            used = server_cpu_s(engine.connection) - used
            assert scored == waiting
        parts = {part: spent[part] for part in ("claim", "gather", "inference", "write")}
        for part, seconds in {**parts, "the rest": whole - sum(parts.values()), "whole": whole}.items():
            recorder.note("one engine", part, "us/row", seconds / scored * 1e6, repeat)
        recorder.note("one engine", f"batches of {BATCH}", "CPU us/row of the server", used / scored * 1e6, repeat)
        store(connection, _ALONE)
        enqueue(connection)
        used = server_cpu_s(engine.connection)
        scored = drain(engine, batch_rows=1)
        used = server_cpu_s(engine.connection) - used
        recorder.note("one engine", "a row alone", "CPU us/row of the server", used / scored * 1e6, repeat)
