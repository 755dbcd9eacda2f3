"""The doorbell: how seldom it rings under load, and that nobody waits for the poll.

``python -m bench.doorbell``: a server of its own, worker processes as users run them.
"""

from __future__ import annotations

import argparse
import random
import sys
import threading
import time
from collections.abc import Callable

import psycopg

from db_functions.database import Connection
from tests.conftest import upgrade
from tests.faults.fleet import Fleet
from tests.servers import Server, available, running
from tests.support import insert_bars, insert_pattern, make_champion

POLL_S = 60.0


def prepared(server: Server, name: str) -> str:
    """A database with bars and a champion."""
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(f"create database {name}")
    url = server.url(name)
    upgrade(url)
    with psycopg.connect(url, autocommit=True) as connection:
        insert_bars(connection)
        make_champion(connection, "small-1")
    return url


def economy(url: str, rate: int, seconds: float, writers: int = 4) -> tuple[int, int, float]:
    """Commits, rings heard, and seconds taken, at a steady rate of single-row inserts."""
    rings, stop = [0], threading.Event()

    def listen() -> None:
        with psycopg.connect(url, autocommit=True) as listening:
            listening.execute("listen ml_queue")
            while not stop.is_set():
                rings[0] += sum(1 for _ in listening.notifies(timeout=0.2))

    ear = threading.Thread(target=listen)
    ear.start()
    time.sleep(0.3)

    def write(_rng: random.Random, writer: Connection) -> None:
        began, total = time.monotonic(), int(rate * seconds / writers)
        for number in range(total):
            insert_pattern(writer)
            time.sleep(max(0.0, began + (number + 1) * writers / rate - time.monotonic()))

    began = time.monotonic()
    in_threads(url, writers, write, autocommit=True)
    took = time.monotonic() - began
    drained(url)
    time.sleep(0.5)
    stop.set()
    ear.join()
    return int(rate * seconds / writers) * writers, rings[0], took


def falling_asleep(url: str, rows: int, writers: int = 6) -> None:
    """Bursts, commits held back, and pauses in which the workers fall asleep."""

    def write(rng: random.Random, writer: Connection) -> None:
        for _ in range(rows // writers):
            insert_pattern(writer)
            if rng.random() < 0.05:
                time.sleep(rng.uniform(0, 0.03))
            writer.commit()
            if rng.random() < 0.01:
                time.sleep(rng.uniform(0, 0.6))

    in_threads(url, writers, write, autocommit=False)
    drained(url)


def in_threads(url: str, number: int, write: Callable[[random.Random, Connection], None], *, autocommit: bool) -> None:
    def one(seed: int) -> None:
        with psycopg.connect(url, autocommit=autocommit) as writer:
            write(random.Random(seed), writer)

    threads = [threading.Thread(target=one, args=(seed,)) for seed in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def drained(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        end = time.monotonic() + POLL_S + 30
        while connection.execute("select count(*) from ml.queue").fetchone() != (0,) and time.monotonic() < end:
            time.sleep(0.05)


def latencies(url: str) -> str:
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "select count(*), percentile_cont(array[0.5, 0.95, 0.99, 0.999, 1]) within group "
            "(order by prediction_latency_ms) from pattern_events where scored_at is not null"
        ).fetchone()
    assert row is not None
    named = zip(("p50", "p95", "p99", "p99.9", "max"), row[1] or [], strict=False)
    return f"{row[0]:,} rows scored; " + ", ".join(f"{name} {value:.1f} ms" for name, value in named)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.doorbell", description=__doc__)
    parser.add_argument("--rate", type=int, default=1_000, help="inserts a second (default 1000)")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument(
        "--rows", type=int, default=20_000, help="inserts timed against sleeping workers (default 20000)"
    )
    parser.add_argument("--workers", type=int, default=2, help="workers that fall asleep (default 2)")
    parser.add_argument("--server", choices=available(), default="embedded")
    options = parser.parse_args()
    with running(options.server) as server:
        url = prepared(server, "economy")
        with_workers(url, 1, lambda: print_economy(url, options.rate, options.seconds))
        url = prepared(server, "asleep")
        with_workers(url, options.workers, lambda: falling_asleep(url, options.rows))
        print(f"against {options.workers} workers falling asleep, poll interval {POLL_S:g} s: {latencies(url)}")
    return 0


def print_economy(url: str, rate: int, seconds: float) -> None:
    commits, rings, took = economy(url, rate, seconds)
    print(f"{commits:,} commits in {took:.1f} s, {rings:,} of them rang: {rings / commits:.2%}; {latencies(url)}")


def with_workers(url: str, number: int, action: Callable[[], None]) -> None:
    fleet = Fleet([url] * number, "--poll-interval", str(POLL_S))
    try:
        with psycopg.connect(url, autocommit=True) as connection:
            end = time.monotonic() + 30
            while time.monotonic() < end:
                row = connection.execute("select count(*) from ml.workers where model_version is not null").fetchone()
                if row == (number,):
                    break
                time.sleep(0.05)
        action()
    finally:
        fleet.stop()
        fleet.forget()


if __name__ == "__main__":
    sys.exit(main())
