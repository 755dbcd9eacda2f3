"""What every measurement stands on: a template database with the real market, copies of it, and worker processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from bench import ensemble
from bench.server import Server, connect, running, upgrade
from db_functions.database import Connection

SETTINGS: Final = {
    "shared_buffers": "1GB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "30min",
    "max_connections": "100",
    "track_commit_timestamp": "on",
}
"""Every other setting has the default of PostgreSQL, fsync and synchronous_commit included."""
COLUMNS: Final = (
    "symbol, timeframe, pattern_type, detected_at, started_at, support, resistance, target, entry, stoploss, "
    "confidence, metadata"
)
PATTERNS: Final = 3_500
"""Rows of ``bench.patterns``, numbered from 1."""
_STOP_TIMEOUT_S: Final = 15


class Bench:
    """A server with a template that holds the market's bars, its patterns as plain rows, and the champion."""

    def __init__(self, server: Server) -> None:
        self.server = server
        with connect(server.url("postgres")) as connection:
            connection.execute("create database market")
            connection.execute("create database training")
        upgrade(server.url("training"))
        upgrade(server.url("market"))
        with connect(server.url("training")) as connection:
            self.artifact = ensemble.kept_artifact(connection)
        with connect(server.url("market")) as connection:
            ensemble.insert_market(connection, patterns=False)
            ensemble.make_champion(connection, self.artifact)
            connection.execute("create schema bench")
            ensemble.insert_patterns(connection, ensemble.market().history[1_500 : 1_500 + PATTERNS])
            connection.execute(
                f"create table bench.patterns as select row_number() over () as n, {COLUMNS} from pattern_events"
            )
            # With it, finding the row takes no time beside the insert that is timed.
            connection.execute("create unique index on bench.patterns (n)")
            connection.execute("truncate pattern_events cascade; truncate ml.queue")
            connection.execute("vacuum analyze")

    @contextmanager
    def database(self) -> Iterator[str]:
        """The URL of a copy of the template, dropped afterwards."""
        with self.server.database("market") as url:
            yield url


@contextmanager
def bench() -> Iterator[Bench]:
    """Start a server and fill its template; stop it at the end."""
    with running(SETTINGS) as server:
        yield Bench(server)


def store(connection: Connection, rows: int) -> None:
    """Insert ``rows`` patterns of the real market, repeated as needed, without queueing them."""
    connection.execute("alter table pattern_events disable trigger ml_enqueue")
    connection.execute(
        f"insert into pattern_events ({COLUMNS}) select {COLUMNS} "
        "from bench.patterns, generate_series(1, %s::integer) g order by g, n limit %s",
        [rows // PATTERNS + 1, rows],
    )
    connection.execute("alter table pattern_events enable trigger ml_enqueue")
    connection.execute("vacuum analyze pattern_events")
    connection.execute("checkpoint")


@contextmanager
def unwatched_bars(connection: Connection) -> Iterator[None]:
    """Bars inserted meanwhile are neither checked nor noted for caches.

    By name, because ``enable trigger user`` would leave the trigger for replicated sessions on in all, and a worker
    that finds it so keeps no bars.
    """
    switch = "alter table price_bars {0} trigger ml_1_check, {0} trigger ml_log_insert"
    connection.execute(switch.format("disable").encode())
    yield
    connection.execute(switch.format("enable").encode())


def enqueue(connection: Connection) -> int:
    """Queue every row without a score in one commit and wake the workers; returns how many rows."""
    with connection.transaction():
        done = connection.execute(
            "insert into ml.queue (pattern_id) select id from pattern_events where scored_at is null"
        )
        connection.execute("select ml_internal.ring()")
    return done.rowcount


def wait_until(condition: Callable[[], bool], timeout_s: float = 300.0, pause_s: float = 0.01) -> None:
    """Raises TimeoutError when the condition does not come true in time."""
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"nothing after {timeout_s:g} s")
        time.sleep(pause_s)


def drained(connection: Connection) -> None:
    """Wait until the queue is empty."""
    wait_until(lambda: connection.execute("select from ml.queue limit 1").fetchone() is None)


def worker_environment() -> dict[str, str]:
    """Of this process, but modules are compiled once, as an installation does."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


@contextmanager
def workers(url: str, number: int) -> Iterator[None]:
    """Run ``number`` worker processes as users do; entered once each has its model."""
    ready = "select count(*) from ml.workers where model_version is not null and stopped_at is null"
    with ExitStack() as stack:
        for _ in range(number):
            process = subprocess.Popen(
                [sys.executable, "-m", "worker", "run"],
                env={**worker_environment(), "DATABASE_URL": url},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            stack.callback(_stop, process)
        with connect(url) as connection:
            wait_until(lambda: connection.execute(ready).fetchone() == (number,), 60)
        yield


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
