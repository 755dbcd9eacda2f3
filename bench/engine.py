"""One engine in this process: the only module here, beside :mod:`bench.peers`, that uses the worker's own code."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psycopg

from bench.harness import enqueue
from db_functions.database import Connection
from db_functions.gather import Gatherer
from db_functions.queries import query
from worker.serving.champion import Champion
from worker.serving.engine import BATCH as BATCH
from worker.serving.engine import Engine
from worker.serving.marks import Marks

_PARTS: Final[dict[Any, str]] = {query("claim"): "claim", query("write_batch"): "write"}


class NoMarks(Marks):
    """Every claim searches from the beginning of the queue: the ablation of the low-water mark."""

    def claimed(self, highest: int) -> None:
        pass

    def look_again(self, _connection: Connection) -> bool:
        self._looked_at = time.monotonic()
        return False


def drain(
    engine: Engine,
    marks: Marks | None = None,
    *,
    rows: int | None = None,
    seconds: float | None = None,
    batch_rows: int = BATCH,
) -> int:
    """Score until nothing waits, or enough rows are scored, or the time is up; returns how many rows."""
    marks, total, began = marks or Marks(), 0, time.monotonic()
    while (rows is None or total < rows) and (seconds is None or time.monotonic() - began < seconds):
        if marks.due():
            marks.look_again(engine.connection)
        if (batch := engine.score_queue(batch_rows, marks.hot)).done:
            marks.claimed(batch.claimed_up_to)
            total += batch.done
        elif marks.hot == marks.proven:
            break
        else:
            marks.look_again(engine.connection)
    return total


def rate_of(connection: Connection, engine: Engine, *, rows: int | None = None) -> float:
    """Rows a second over everything without a score, or over the first ``rows`` of it."""
    enqueue(connection)
    began = time.perf_counter()
    return drain(engine, rows=rows) / (time.perf_counter() - began)


def server_cpu_s(connection: Connection) -> float:
    """CPU seconds that the server process of an idle ``connection`` has used; NaN where there is no ``/proc``."""
    statistics = Path(f"/proc/{connection.info.backend_pid}/schedstat")
    used = -1
    while statistics.exists():
        # Added when the process goes to sleep, a moment after its answer.
        if (now := int(statistics.read_text().split()[0])) == used:
            return used / 1e9
        used = now
        time.sleep(0.005)
    return math.nan


class _TimedConnection(psycopg.Connection[Any]):
    spent: dict[str, float]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.cursor_factory = _TimedCursor


class _TimedCursor(psycopg.Cursor[Any]):
    def execute(self, statement: Any, *arguments: Any, **options: Any) -> Any:  # type: ignore[override]
        began = time.perf_counter()
        try:
            return super().execute(statement, *arguments, **options)
        finally:
            assert isinstance(self.connection, _TimedConnection)
            self.connection.spent[_PARTS.get(statement, "other statements")] += time.perf_counter() - began


@contextmanager
def timed(url: str) -> Iterator[tuple[Engine, dict[str, float]]]:
    """An engine with its model loaded, and the seconds that its parts have taken: claim, gather, inference, write."""
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

    with _TimedConnection.connect(url, autocommit=True) as connection:
        connection.spent = spent
        asked, gathered = watch(Champion, "ask", "inference"), watch(Gatherer, "gather", "gather")
        try:
            engine = Engine(connection)
            engine.refresh_model()
            yield engine, spent
        finally:
            Champion.ask, Gatherer.gather = asked, gathered  # type: ignore[method-assign]
