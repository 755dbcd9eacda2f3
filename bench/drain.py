"""How fast a backlog goes, by one process and two, series cold and warm, beside peers; where the time of a row goes."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg

from bench.harness import Bench, Recorder, connect, drained, enqueue, store, workers
from bench.tasks import PEERS, drain_with_peer
from db_functions.database import Connection
from db_functions.gather import Gatherer
from db_functions.queries import query
from worker.serving.champion import Champion
from worker.serving.engine import BATCH, Engine
from worker.serving.marks import Marks

ROWS: Final = 100_000
SERIES: Final = 2_000
BUDGET_ROWS: Final = 20_000
"""Of one engine with a stopwatch: by then every part has been seen often enough."""
_PEER_S: Final = 8.0
_BARS: Final = """
insert into price_bars
select 'S' || s, '1d', timestamptz '2023-01-01 21:00+00' + b * interval '1 day',
       p, p * 1.01, p * 0.99, p * (1 + 0.005 * sin(b * s)), 1000 + b
from generate_series(1, %s) s, generate_series(1, 200) b, lateral (select 100 * exp(0.1 * sin(b * 0.1 + s)) as p) v
"""
_ROWS: Final = """
insert into pattern_events (symbol, timeframe, pattern_type, detected_at, entry, stoploss, target, confidence)
select 'S' || (1 + n %% %s), '1d', 'engulfing', timestamptz '2023-01-01 21:00+00' + (140 + n %% 60) * interval '1 day',
       100, 95, 105, 0.6
from generate_series(1, %s) n
"""


def measure(bench: Bench, recorder: Recorder) -> None:
    rows = recorder.scaled(ROWS)
    recorder.note("one engine", "before the drain", "rows waiting", rows)
    for repeat in range(recorder.repeats):
        for number in (1, 2):
            _many_series(bench, recorder, number, rows, repeat)
        for peer in PEERS:
            with bench.database() as url, connect(url) as connection:
                store(connection, rows)
                rate = drain_with_peer(url, peer, _PEER_S)
            recorder.note(peer, "waiting rows", "rows/s", rate, repeat)
        budget(bench, recorder, min(rows, BUDGET_ROWS), repeat)


def _many_series(bench: Bench, recorder: Recorder, number: int, rows: int, repeat: int) -> None:
    """Each row of one of ``SERIES`` series: no worker has seen one at first, then all are kept."""
    series = series_of(rows)
    with bench.database() as url, connect(url) as connection:
        connection.execute(
            "alter table price_bars disable trigger user; alter table pattern_events disable trigger ml_enqueue"
        )
        connection.execute(_BARS, [series])
        connection.execute("alter table price_bars enable trigger user")
        connection.execute("vacuum analyze price_bars")
        with workers(url, number):
            for case in ("cold", "warm"):
                connection.execute(_ROWS, [series, rows])
                connection.execute("vacuum analyze pattern_events")
                connection.execute("checkpoint")
                began = time.monotonic()
                count = enqueue(connection)
                drained(connection)
                name = f"ours, {number} process{'es' if number > 1 else ''}"
                recorder.note(name, case, "rows/s", count / (time.monotonic() - began), repeat)


def series_of(rows: int) -> int:
    """Fewer than ``SERIES`` when the rows are few."""
    return min(SERIES, max(1, rows // 10))


def budget(bench: Bench, recorder: Recorder, rows: int, repeat: int) -> None:
    """One engine in this process, with a stopwatch around its parts."""
    with bench.database() as url, timed(url) as (engine, spent):
        with connect(url) as connection:
            for warm in (False, True):
                store(connection, rows if warm else 2_000)
                count = enqueue(connection)
                spent.clear()
                began = time.perf_counter()
                drain(engine)
                whole = time.perf_counter() - began
        parts = {
            "claim": spent["claim"],
            "gather": spent["gather"],
            "inference": spent["inference"],
            "write": spent["write"],
        }
        for part, seconds in {**parts, "the rest": whole - sum(parts.values()), "whole": whole}.items():
            recorder.note("one engine", part, "us/row", seconds / count * 1e6, repeat)


def drain(engine: Engine) -> int:
    """Until a claim finds nothing; returns how many rows."""
    marks, total = Marks(), 0
    while (found := engine.score_queue(BATCH, marks.hot)).done:
        marks.claimed(found.claimed_up_to)
        total += found.done
    return total


def _timed_cursor(spent: dict[str, float]) -> type[psycopg.Cursor[Any]]:
    class TimedCursor(psycopg.Cursor[Any]):
        def execute(self, statement: Any, *arguments: Any, **options: Any) -> Any:  # type: ignore[override]
            began = time.perf_counter()
            try:
                return super().execute(statement, *arguments, **options)
            finally:
                spent[_KINDS.get(statement, "other statements")] += time.perf_counter() - began

    return TimedCursor


_KINDS: Final[dict[Any, str]] = {query("claim"): "claim", query("write_batch"): "write"}


@contextmanager
def timed(url: str) -> Iterator[tuple[Engine, dict[str, float]]]:
    """An engine, and the seconds that its parts have taken."""
    spent: dict[str, float] = defaultdict(float)

    def watch(owner: type, name: str, part: str) -> Any:
        original = getattr(owner, name)

        def watched(*arguments: Any, **options: Any) -> Any:
            began = time.perf_counter()
            try:
                return original(*arguments, **options)
            finally:
                spent[part] += time.perf_counter() - began

        setattr(owner, name, watched)
        return original

    with psycopg.connect(url, autocommit=True, cursor_factory=_timed_cursor(spent)) as connection:
        asked, gathered = watch(Champion, "ask", "inference"), watch(Gatherer, "gather", "gather")
        try:
            engine = Engine(connection)
            engine.refresh_model()
            yield engine, spent
        finally:
            Champion.ask, Gatherer.gather = asked, gathered  # type: ignore[method-assign]


def rate_of(connection: Connection, engine: Engine) -> float:
    """Rows a second of one engine in this process, over what is queued."""
    enqueue(connection)
    began = time.perf_counter()
    return drain(engine) / (time.perf_counter() - began)
