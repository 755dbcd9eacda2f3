"""What a claim costs: shallow and deep backlogs, with and without a snapshot held since before, ours and the peers'.

``python -m bench.queue --deep 1000000``: a server of its own. Ours: every row is claimed, written as a fallback and
deleted in batches of 256, as the worker does, with marks and without. A peer runs tasks that do nothing. All ratios are
of rows a second in the same run; each measurement has a database of its own, loaded and vacuumed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Protocol

import psycopg

from bench.peers import Peer, peers
from db_functions.database import Connection
from tests.conftest import upgrade
from tests.servers import Server, available, running
from worker.serving.engine import BATCH, Engine
from worker.serving.marks import Marks

_ROWS = """
insert into pattern_events (symbol, timeframe, pattern_type, detected_at, confidence)
select 'ACME', '1d', 'double_bottom', '2024-05-01', 0.7 from generate_series(1, %s)
"""
SHALLOW = 10_000
_AT_ONCE = 50_000
_numbers = count()


class NoMarks(Marks):
    """Every claim looks from the beginning."""

    def claimed(self, highest: int) -> None:
        pass

    def look_again(self, _connection: Connection) -> None:
        self._looked_at = time.monotonic()


class Subject(Protocol):
    """A queue to measure, in an empty database."""

    @property
    def name(self) -> str: ...
    def install(self, url: str) -> None: ...
    def load(self, url: str, backlog: int) -> None: ...
    def drain(self, url: str, seconds: float) -> float:
        """Rows a second, until the queue is empty or the time is up."""
        ...


@dataclass(frozen=True)
class Ours:
    """This queue, without a model: claim, write a fallback, delete."""

    marks: type[Marks] = Marks

    @property
    def name(self) -> str:
        return "ours" if self.marks is Marks else "ours, no marks"

    def install(self, url: str) -> None:
        upgrade(url)

    def load(self, url: str, backlog: int) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            for first in range(0, backlog, _AT_ONCE):
                connection.execute(_ROWS, [min(_AT_ONCE, backlog - first)])

    def drain(self, url: str, seconds: float) -> float:
        marks = self.marks()
        with psycopg.connect(url, autocommit=True) as connection:
            engine = Engine(connection)
            engine.refresh_model()
            began, total = time.monotonic(), 0
            while time.monotonic() - began < seconds:
                if marks.due():
                    marks.look_again(connection)
                found = engine.score_queue(BATCH, marks.hot)
                if found.done:
                    marks.claimed(found.claimed_up_to)
                    total += found.done
                elif marks.hot == marks.proven:
                    break
                else:
                    marks.look_again(connection)
            return total / (time.monotonic() - began)


@dataclass(frozen=True)
class Theirs:
    """A peer whose task does nothing; its start is not counted."""

    peer: Peer

    @property
    def name(self) -> str:
        return self.peer.name

    def install(self, url: str) -> None:
        self.peer.install(url)

    def load(self, url: str, backlog: int) -> None:
        for first in range(0, backlog, _AT_ONCE):
            self.peer.enqueue(url, [str(number) for number in range(min(_AT_ONCE, backlog - first))])

    def drain(self, url: str, seconds: float) -> float:
        done: list[float] = []
        self.peer.work(url, lambda _: done.append(time.monotonic()), stop_after_s=seconds)
        return (len(done) - 1) / (done[-1] - done[0])


@contextmanager
def database(server: Server) -> Iterator[str]:
    """The URL of an empty database."""
    name = f"queue_{next(_numbers)}"
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(f"create database {name}")
    yield server.url(name)
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(f"drop database {name} with (force)")


def measure(server: Server, subject: Subject, backlog: int, seconds: float, *, held: str) -> float:
    """Rows a second over a backlog of its own, drained once. ``held`` since before it: none, snapshot or writer."""
    with database(server) as url, ExitStack() as stack:
        subject.install(url)
        other = stack.enter_context(psycopg.connect(url))
        if held != "none":
            # What dies from now on is visible to this snapshot, and so stays.
            other.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            other.execute("select")
        if held == "writer":
            # As far as anybody can tell it may still commit a row of its own, so that no mark can be proven.
            other.execute("select pg_current_xact_id()")
        subject.load(url, backlog)
        with psycopg.connect(url, autocommit=True) as loaded:
            loaded.execute("vacuum analyze")
            loaded.execute("checkpoint")
        return subject.drain(url, seconds)


def one_behind(server: Server, dead: int, *, marks: type[Marks]) -> float:
    """Milliseconds to find one new row behind ``dead`` ones that a held snapshot keeps (median of 20)."""
    with database(server) as url:
        upgrade(url)
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
                found = engine.score_queue(BATCH, mine.hot)
                assert found.done == 1
                taken.append((time.monotonic() - began) * 1000)
                mine.claimed(found.claimed_up_to)
            return statistics.median(taken)


def compare(server: Server, deep: int, seconds: float, *, with_peers: bool) -> None:
    """Print a line a measurement: the rate, its ratio to the same queue's shallow rate, and how often ours goes in."""
    ours = Ours()
    everybody: list[Subject] = [ours, Ours(NoMarks), *(Theirs(peer) for peer in peers() if with_peers)]
    measure(server, ours, 2_000, 5, held="none")  # warm
    print(f"{'queue':<24} {'backlog':>9}  {'held':<8} {'rows/s':>8}  {'to its shallow':>14}  {'ours is':>8}")
    shallow: dict[str, float] = {}
    for backlog, held in (
        (SHALLOW, "none"),
        (deep, "none"),
        (SHALLOW, "snapshot"),
        (deep, "snapshot"),
        (deep, "writer"),
    ):
        base = 0.0
        for subject in everybody:
            if held == "writer" and subject is not ours:
                continue
            rate = measure(server, subject, backlog, seconds, held=held)
            base = base or rate
            ratio = rate / shallow.setdefault(subject.name, rate)
            print(
                f"{subject.name:<24} {backlog:>9,}  {held:<8} {rate:>8,.0f}  {ratio:>14.2f}  {base / rate:>6.1f} x",
                flush=True,
            )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.queue", description=__doc__)
    parser.add_argument("--deep", type=int, default=1_000_000, help="rows of the deep backlog (default 1000000)")
    parser.add_argument("--seconds", type=float, default=20.0, help="longest time to drain each (default 20)")
    parser.add_argument("--server", choices=available(), default="embedded")
    parser.add_argument("--no-peers", action="store_true", help="ours alone")
    options = parser.parse_args()
    with running(options.server) as server:
        compare(server, options.deep, options.seconds, with_peers=not options.no_peers)
        for marks in (Marks, NoMarks):
            milliseconds = one_behind(server, 200_000, marks=marks)
            print(f"one row behind 200,000 dead ones, {Ours(marks).name}: {milliseconds:.2f} ms", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
