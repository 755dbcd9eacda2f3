"""What every measurement stands on: servers of its own, databases made from a template, workers, and raw numbers."""

from __future__ import annotations

import csv
import itertools
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

import psycopg

from bench import ensemble
from db_functions.database import Connection
from demo.application import insert_patterns
from tests.conftest import upgrade
from tests.faults.fleet import Fleet
from tests.servers import Server, running

RESULTS: Final = Path("bench/results")
SETTINGS: Final = {
    "shared_buffers": "1GB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "30min",
    "max_connections": "100",
    "track_commit_timestamp": "on",
}
"""All else is as PostgreSQL comes, fsync and synchronous commits included."""
COLUMNS: Final = (
    "symbol, timeframe, pattern_type, detected_at, started_at, support, resistance, target, entry, stoploss, "
    "confidence, metadata"
)
_LIBRARIES: Final = ("psycopg", "onnxruntime", "numpy", "scikit-learn", "procrastinate", "pgqueuer")
_numbers = itertools.count()


@dataclass
class Recorder:
    """The raw numbers of one section; :meth:`save` keeps them, and under which conditions they were taken."""

    section: str
    scale: float = 1.0
    repeats: int = 3
    rows: list[tuple[str, str, str, int, float]] = field(default_factory=list)
    _began: float = field(default_factory=time.monotonic)
    _load: float = field(default_factory=lambda: os.getloadavg()[0])

    def note(self, subject: str, case: object, metric: str, value: float, repeat: int = 0) -> None:
        self.rows.append((subject, str(case), metric, repeat, float(value)))
        print(f"  {self.section}: {subject}, {case}: {value:,.4g} {metric}", flush=True)

    @property
    def few(self) -> int:
        """Repeats of what takes minutes."""
        return max(1, self.repeats - 2)

    def scaled(self, number: int) -> int:
        return max(1, round(number * self.scale))

    def save(self) -> None:
        RESULTS.mkdir(parents=True, exist_ok=True)
        with (RESULTS / f"{self.section}.csv").open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("subject", "case", "metric", "repeat", "value"))
            writer.writerows((*row[:4], f"{row[4]:.6g}") for row in self.rows)
        runs = [run for run in read_runs() if run["section"] != self.section]
        runs.append(
            {
                "section": self.section,
                "at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
                "commit": _commit(),
                "scale": f"{self.scale:g}",
                "repeats": str(self.repeats),
                "took_s": f"{time.monotonic() - self._began:.0f}",
                "load_before": f"{self._load:.2f}",
                "machine": machine(),
                "versions": ", ".join(f"{name} {version(name)}" for name in _LIBRARIES),
            }
        )
        with (RESULTS / "runs.csv").open("w", newline="") as file:
            table = csv.DictWriter(file, list(runs[0]), lineterminator="\n")
            table.writeheader()
            table.writerows(sorted(runs, key=lambda run: run["section"]))


@dataclass(frozen=True)
class Results:
    """The raw numbers of one section, read back."""

    rows: list[tuple[str, str, str, float]]

    @classmethod
    def read(cls, section: str) -> Results:
        file = RESULTS / f"{section}.csv"
        if not file.exists():
            return cls([])
        with file.open(newline="") as lines:
            return cls([(r["subject"], r["case"], r["metric"], float(r["value"])) for r in csv.DictReader(lines)])

    def subjects(self) -> list[str]:
        return list(dict.fromkeys(subject for subject, *_ in self.rows))

    def cases(self) -> list[str]:
        return list(dict.fromkeys(case for _, case, *_ in self.rows))

    def sizes(self, subject: str) -> list[int]:
        """The cases of a subject, where they are numbers, ascending."""
        return sorted({int(case) for s, case, *_ in self.rows if s == subject})

    def values(self, subject: str, case: object, metric: str) -> list[float]:
        return [value for s, c, m, value in self.rows if (s, c, m) == (subject, str(case), metric)]

    def median(self, subject: str, case: object, metric: str) -> float:
        """NaN when it was not measured."""
        values = self.values(subject, case, metric)
        return statistics.median(values) if values else float("nan")


def read_runs() -> list[dict[str, str]]:
    """Which section was measured when, and where."""
    file = RESULTS / "runs.csv"
    if not file.exists():
        return []
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


def machine() -> str:
    """Processor, cores, memory, system."""
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GB, Linux {platform.release().split('-')[0]}"


def _commit() -> str:
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


class Bench:
    """A durable server, with a template that holds the real market, its patterns as plain rows, and the champion."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.template = "market"
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            connection.execute("create database market")
            connection.execute("create database training")
        upgrade(server.url("training"))
        upgrade(server.url("market"))
        with psycopg.connect(server.url("training"), autocommit=True) as connection:
            self.artifact = ensemble.kept_artifact(connection)
        with psycopg.connect(server.url("market"), autocommit=True) as connection:
            ensemble.insert_market(connection, patterns=False)
            ensemble.make_champion(connection, self.artifact)
            connection.execute("create schema bench")
            insert_patterns(connection, ensemble.market().history[1_500:6_000])
            connection.execute(
                f"create table bench.patterns as select row_number() over () as n, {COLUMNS} from pattern_events"
            )
            # Found at once, so that what is timed is the insert.
            connection.execute("create unique index on bench.patterns (n)")
            connection.execute("truncate pattern_events cascade; truncate ml.queue")
            connection.execute("vacuum analyze")

    @contextmanager
    def database(self) -> Iterator[str]:
        """The URL of a copy of the template, dropped afterwards."""
        name = f"bench_{next(_numbers)}"
        self._run(f"create database {name} template {self.template}")
        try:
            yield self.server.url(name)
        finally:
            self._run(f"drop database {name} with (force)")

    def _run(self, statement: str) -> None:
        with psycopg.connect(self.server.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)


@contextmanager
def bench(server_name: str = "embedded") -> Iterator[Bench]:
    """Everything that sections measure on, on a server started for them."""
    with running(server_name, durable=True) as server:
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            for name, value in SETTINGS.items():
                connection.execute(f"alter system set {name} = '{value}'")
        server.restart()
        yield Bench(server)


def connect(url: str) -> Connection:
    return psycopg.connect(url, autocommit=True)


def store(connection: Connection, rows: int) -> None:
    """Patterns of the real market, over and over; not queued."""
    connection.execute("alter table pattern_events disable trigger ml_enqueue")
    connection.execute(
        f"insert into pattern_events ({COLUMNS}) select {COLUMNS} "
        "from bench.patterns, generate_series(1, %s::integer) g order by g, n limit %s",
        [rows // 4_000 + 1, rows],
    )
    connection.execute("alter table pattern_events enable trigger ml_enqueue")
    connection.execute("vacuum analyze pattern_events")
    connection.execute("checkpoint")


def enqueue(connection: Connection) -> int:
    """Everything without a score, in one commit, and a ring; returns how many rows."""
    with connection.transaction():
        done = connection.execute(
            "insert into ml.queue (pattern_id) select id from pattern_events where scored_at is null"
        )
        connection.execute("notify ml_queue")
    return done.rowcount


def wait_until(condition: Callable[[], bool], timeout_s: float = 300.0, pause_s: float = 0.01) -> None:
    """Raises TimeoutError when it does not come true."""
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"nothing after {timeout_s:g} s")
        time.sleep(pause_s)


def depth(connection: Connection) -> int:
    row = connection.execute("select count(*) from (select from ml.queue limit 100000) q").fetchone()
    assert row is not None
    return int(row[0])


def drained(connection: Connection, timeout_s: float = 300.0) -> None:
    """Wait for an empty queue, as seldom looking as a hundredth of a second allows."""
    wait_until(lambda: connection.execute("select from ml.queue limit 1").fetchone() is None, timeout_s)


@contextmanager
def workers(url: str, number: int, *arguments: str) -> Iterator[Fleet]:
    """Worker processes as users run them, with their model loaded."""
    fleet = Fleet([url] * number, *arguments)
    try:
        with connect(url) as connection:
            wait_until(
                lambda: (
                    connection.execute(
                        "select count(*) from ml.workers where model_version is not null and stopped_at is null"
                    ).fetchone()
                    == (number,)
                ),
                60,
            )
        yield fleet
    finally:
        fleet.stop()
        fleet.forget()


def quantiles(values: Sequence[float]) -> tuple[float, float]:
    """The median and the 99th percentile."""
    ordered = sorted(values)
    return statistics.median(ordered), ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
