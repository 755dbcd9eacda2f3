"""What a claim costs: shallow and deep backlogs, with and without a snapshot held since before, with marks and without.

``python -m bench.queue --deep 1000000``: a server of its own; every row is claimed, written as a fallback and
deleted in batches of 256, as the worker does, and the ratios are of rows a second in the same run.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from contextlib import ExitStack
from itertools import count

import psycopg

from db_functions.database import Connection
from tests.conftest import upgrade
from tests.servers import Server, available, running
from worker.engine import BATCH, Engine
from worker.marks import Marks

_ROWS = """
insert into pattern_events (symbol, timeframe, pattern_type, detected_at, confidence)
select 'ACME', '1d', 'double_bottom', '2024-05-01', 0.7 from generate_series(1, %s)
"""
SHALLOW = 10_000
_numbers = count()


class NoMarks(Marks):
    """Every claim looks from the beginning."""

    def claimed(self, highest: int) -> None:
        pass

    def look_again(self, _connection: Connection) -> None:
        self._looked_at = time.monotonic()


def fresh(server: Server) -> tuple[str, str]:
    """Name and URL of an empty database at head."""
    name = f"queue_{next(_numbers)}"
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(f"create database {name}")
    upgrade(server.url(name))
    return name, server.url(name)


def drain(url: str, seconds: float, marks: Marks) -> float:
    """Rows a second, until the queue is empty or the time is up."""
    with psycopg.connect(url, autocommit=True) as connection:
        engine = Engine(connection)
        engine.refresh_model()
        began, total = time.monotonic(), 0
        while time.monotonic() - began < seconds:
            if marks.due():
                marks.look_again(connection)
            done = engine.score_queue(BATCH, marks.hot)
            if done:
                marks.claimed(engine.last_claimed)
                total += done
            elif marks.hot == marks.proven:
                break
            else:
                marks.look_again(connection)
        return total / (time.monotonic() - began)


def measure(server: Server, backlog: int, seconds: float, *, held: str, marks: type[Marks]) -> float:
    """A backlog of its own, drained once."""
    name, url = fresh(server)
    with ExitStack() as stack:
        other = stack.enter_context(psycopg.connect(url))
        if held != "none":
            # What dies from now on is visible to this snapshot, and so stays.
            other.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            other.execute("select count(*) from ml.queue")
        if held == "writer":
            # As far as anybody can tell it may still commit a row of its own, so that no mark can be proven.
            other.execute("select pg_current_xact_id()")
        with psycopg.connect(url, autocommit=True) as loading:
            for first in range(0, backlog, 50_000):
                loading.execute(_ROWS, [min(50_000, backlog - first)])
            loading.execute("analyze pattern_events; checkpoint")
        rate = drain(url, seconds, marks())
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(f"drop database {name} with (force)")
    return rate


def one_behind(server: Server, dead: int, *, marks: type[Marks]) -> float:
    """Milliseconds to find one new row behind ``dead`` ones that a held snapshot keeps (median of 20)."""
    _, url = fresh(server)
    with psycopg.connect(url) as other, psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_ROWS, [dead])
        other.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        other.execute("select count(*) from ml.queue")
        connection.execute("delete from ml.queue")
        engine, mine, taken = Engine(connection), marks(), []
        engine.refresh_model()
        for _ in range(2):
            mine.look_again(connection)
        for _ in range(20):
            connection.execute(_ROWS, [1])
            began = time.monotonic()
            assert engine.score_queue(BATCH, mine.hot) == 1
            taken.append((time.monotonic() - began) * 1000)
            mine.claimed(engine.last_claimed)
        return statistics.median(taken)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.queue", description=__doc__)
    parser.add_argument("--deep", type=int, default=1_000_000, help="rows of the deep backlog (default 1000000)")
    parser.add_argument("--seconds", type=float, default=20.0, help="longest time to drain each (default 20)")
    parser.add_argument("--server", choices=available(), default="embedded")
    options = parser.parse_args()
    with running(options.server) as server:
        measure(server, 2_000, 5, held="none", marks=Marks)  # warm
        base = measure(server, SHALLOW, options.seconds, held="none", marks=Marks)
        print(f"{'backlog':>10}  {'held':<9} {'marks':<9} {'rows/s':>8}  ratio")
        print(f"{SHALLOW:>10,}  {'none':<9} {'proven':<9} {base:>8,.0f}  1.00", flush=True)
        for backlog, held, marks in (
            (options.deep, "none", Marks),
            (SHALLOW, "snapshot", Marks),
            (options.deep, "snapshot", Marks),
            (options.deep, "writer", Marks),
            (options.deep, "none", NoMarks),
            (options.deep, "snapshot", NoMarks),
        ):
            rate = measure(server, backlog, options.seconds, held=held, marks=marks)
            kind = "proven" if marks is Marks else "disabled"
            print(
                f"{backlog:>10,}  {held:<9} {kind:<9} {rate:>8,.0f}  {rate / base:.2f}",
                flush=True,
            )
        for marks in (Marks, NoMarks):
            kind = "proven" if marks is Marks else "disabled"
            milliseconds = one_behind(server, 200_000, marks=marks)
            print(f"one row behind 200,000 dead ones, marks {kind}: {milliseconds:.2f} ms", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
