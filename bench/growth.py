"""How cost grows: with the backlog, with the table and its bars, with the number of series, with that of workers."""

from __future__ import annotations

import shutil
import time
from typing import Final

from bench.drain import insert_scattered, insert_series
from bench.engine import drain, rate_of, timed
from bench.harness import PATTERNS, Bench, drained, enqueue, store, unwatched_bars, workers
from bench.results import Recorder
from bench.server import connect
from db_functions.database import Connection
from worker.serving.engine import Engine

ROWS: Final = 20_000
"""Measured at every size, or the size itself when that is less."""
WARM_UP: Final = 1_000
BACKLOGS: Final = (10_000, 100_000, 1_000_000)
TABLES: Final = (10_000, 1_000_000, 10_000_000)
LARGE: Final = 500_000
"""Larger sizes are repeated less often: filling takes minutes, measuring seconds."""
SERIES: Final = (10, 1_000, 5_000, 10_000, 20_000)
WORKERS: Final = (1, 2, 3, 4)
BARS_PER_SERIES: Final = 2_000
_PATTERNS_PER_SERIES: Final = BARS_PER_SERIES // 2
_ROW_BYTES: Final = 2_000
"""Disk for a scored row with its indexes and two bars, some room included."""
_WAL_BYTES: Final = 12 * 2**30
_AT_ONCE: Final = 1_000_000
_LONG_BARS: Final = f"""
insert into price_bars
select 'T' || s, '1d', timestamptz '2015-01-01 21:00+00' + b * interval '1 day',
       p, p * 1.01, p * 0.99, p * (1 + 0.005 * sin(b * s)), 1000 + b
from generate_series(%s::integer, %s) s, generate_series(1, {BARS_PER_SERIES}) b,
     lateral (select 100 * exp(0.1 * sin(b * 0.1 + s)) as p) v
"""
_NEW_ROWS: Final = f"""
insert into pattern_events (symbol, timeframe, pattern_type, detected_at, entry, stoploss, target, confidence)
select 'T' || (n %% %(few)s) * %(stride)s, '1d', 'engulfing',
       timestamptz '2015-01-01 21:00+00' + ({BARS_PER_SERIES} - n %% 60) * interval '1 day', 100, 95, 105, 0.6
from generate_series(1, %(rows)s) n
"""
_COLUMNS: Final = """
select string_agg(attname, ', ' order by attnum) from pg_attribute
where attrelid = 'pattern_events'::regclass and attnum > 0 and not attisdropped and attgenerated = ''
  and attname not in ('id', 'symbol')
"""


def measure(bench: Bench, recorder: Recorder) -> None:
    for repeat in range(recorder.repeats):
        for asked in BACKLOGS:
            backlog = recorder.scaled(asked)
            if backlog <= LARGE or repeat < recorder.few:
                recorder.note("backlog", backlog, "rows/s", _backlog(bench, backlog), repeat)
        for asked in TABLES:
            table = _that_fits(bench, recorder.scaled(asked))
            if table <= LARGE or repeat < recorder.few:
                if table < recorder.scaled(asked):
                    recorder.note("table", table, "rows asked for", recorder.scaled(asked), repeat)
                _table(bench, recorder, table, repeat)
        for number in WORKERS:
            recorder.note("workers", number, "rows/s", _workers(bench, recorder.scaled(2 * ROWS), number), repeat)
    for repeat in range(recorder.few):
        for asked in SERIES:
            _series(bench, recorder, recorder.scaled(asked) if asked > 1_000 else asked, repeat)


def _backlog(bench: Bench, backlog: int) -> float:
    """The first rows of a backlog, one engine."""
    with bench.database() as url, connect(url) as connection, timed(url) as (engine, _):
        store(connection, WARM_UP)
        rate_of(connection, engine)
        store(connection, backlog)
        return rate_of(connection, engine, rows=ROWS)


def _table(bench: Bench, recorder: Recorder, rows: int, repeat: int) -> None:
    """New rows, always of ten series, in a table that holds many scored ones and two bars for each; one engine."""
    series = max(10, rows // _PATTERNS_PER_SERIES)
    with bench.database() as url, connect(url) as connection, timed(url) as (engine, _):
        began = time.monotonic()
        _fill(connection, engine, rows, series)
        recorder.note("table", rows, "s to fill", time.monotonic() - began, repeat)
        for relation, metric in (("pattern_events", "GB of patterns"), ("price_bars", "GB of bars")):
            size = connection.execute("select pg_total_relation_size(%s) / 2^30", [relation]).fetchone()
            assert size is not None
            recorder.note("table", rows, metric, size[0], repeat)
        recorder.note("table", rows, "bars", series * BARS_PER_SERIES, repeat)
        for count in (WARM_UP, ROWS):
            connection.execute(_NEW_ROWS, {"few": 10, "stride": series // 10, "rows": count})
            connection.execute("checkpoint")
            started = time.perf_counter()
            assert drain(engine) == count
            rate = count / (time.perf_counter() - started)
        recorder.note("table", rows, "rows/s", rate, repeat)


def _fill(connection: Connection, engine: Engine, rows: int, series: int) -> None:
    """Real patterns, scored here, repeated as rows of ``series`` series; nothing is queued or updated."""
    kinds = min(PATTERNS, rows)
    store(connection, kinds)
    rate_of(connection, engine)
    connection.execute("create table bench.scored as select * from pattern_events")
    connection.execute("truncate pattern_events cascade")
    at_once = _AT_ONCE // BARS_PER_SERIES
    with unwatched_bars(connection):
        for first in range(0, series, at_once):
            connection.execute(_LONG_BARS, [first, min(first + at_once, series) - 1])
    # The rows were checked when they were scored, so no trigger and no foreign key has to look again.
    connection.execute("set session_replication_role = replica")
    # As dense as inserting at 30 and scoring in place leave it.
    connection.execute("alter table pattern_events set (fillfactor = 62)")
    found = connection.execute(_COLUMNS).fetchone()
    assert found is not None
    for first in range(0, rows, _AT_ONCE):
        connection.execute(
            f"insert into pattern_events (symbol, {found[0]}) "
            f"select 'T' || n %% %(series)s, {found[0]} from generate_series(%(first)s::integer, %(last)s) n "
            "join (select row_number() over () - 1 as k, * from bench.scored) s on s.k = n %% %(kinds)s",
            {"series": series, "first": first, "last": min(first + _AT_ONCE, rows) - 1, "kinds": kinds},
        )
    connection.execute("alter table pattern_events set (fillfactor = 30)")
    connection.execute("reset session_replication_role")
    for statement in ("vacuum analyze pattern_events", "vacuum analyze price_bars", "checkpoint"):
        connection.execute(statement)


def _that_fits(bench: Bench, rows: int) -> int:
    """Halved until the server's disk has room for them."""
    free = shutil.disk_usage(bench.server.folder).free - _WAL_BYTES
    while rows > LARGE and rows * _ROW_BYTES > free:
        rows //= 2
    return rows


def _series(bench: Bench, recorder: Recorder, series: int, repeat: int) -> None:
    """Rows of ``series`` series in no order, one engine: the first time, and again with the bars it has kept."""
    rows = max(recorder.scaled(2 * ROWS), 2 * series)
    with bench.database() as url, connect(url) as connection, timed(url) as (engine, _):
        insert_series(connection, series)
        bars = engine.gatherer.bars
        for case in ("cold", "warm"):
            insert_scattered(connection, series, rows)
            hits, misses, began = bars.hits, bars.misses, time.perf_counter()
            assert drain(engine) == rows
            recorder.note(f"series {case}", series, "rows/s", rows / (time.perf_counter() - began), repeat)
            hits, misses = bars.hits - hits, bars.misses - misses
            recorder.note(f"series {case}", series, "share kept", hits / (hits + misses), repeat)


def _workers(bench: Bench, rows: int, number: int) -> float:
    with bench.database() as url, connect(url) as connection, workers(url, number):
        store(connection, rows)
        began = time.monotonic()
        count = enqueue(connection)
        drained(connection)
        return count / (time.monotonic() - began)
