"""``python -m tests.faults.soak``: a steady rate for long, a kill now and then; memory, queue, latency stay flat.

Prints a sample now and then, and at the end the first and the last third side by side. Exit 1 when a count of the
books is off.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from tests.conftest import upgrade
from tests.faults import harness
from tests.faults.__main__ import show
from tests.faults.fleet import proven
from tests.faults.harness import Plan, Run, Scenario
from tests.servers import available, running

_PAGES_TO_MB = 4096 / 2**20


@dataclass(frozen=True, slots=True)
class Sample:
    """One look: memory of the largest worker, the queue on disk and in rows, latencies since the last look."""

    at_s: float
    resident_mb: float
    queue_kb: float
    waiting: int
    p50_ms: float
    p99_ms: float

    def __str__(self) -> str:
        return (
            f"{self.at_s:7.0f} s  worker {self.resident_mb:6.1f} MB  queue {self.queue_kb:8.0f} kB on disk, "
            f"{self.waiting:5d} waiting  p50 {self.p50_ms:6.1f}  p99 {self.p99_ms:7.1f} ms"
        )


@dataclass
class Soak:
    """The step of the harness: looks every ``look_s``, kills every ``kill_s``."""

    look_s: float
    kill_s: float
    samples: list[Sample] = field(default_factory=list)
    _began: float = field(default_factory=time.monotonic)
    _looked: float = 0.0
    _killed: float = field(default_factory=time.monotonic)

    def __call__(self, this: Run) -> None:
        time.sleep(0.2)
        now = time.monotonic()
        if now - self._killed >= self.kill_s:
            self._killed = now
            able = sorted(this.fleet.pids().keys() & this.ask(proven))
            if able:
                this.fleet.kill(this.rng.choice(able))
                this.report.faults["workers killed"] += 1
        if now - self._looked >= self.look_s:
            self._looked = now
            self.samples.append(self._sample(this))
            print(self.samples[-1], flush=True)

    def _sample(self, this: Run) -> Sample:
        resident = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in this.fleet.pids()]
        row = this.ask(
            lambda connection: connection.execute(
                "select pg_relation_size('ml.queue') / 1024.0, (select count(*) from ml.queue), "
                "coalesce(percentile_cont(0.5) within group (order by latency_ms), 0), "
                "coalesce(percentile_cont(0.99) within group (order by latency_ms), 0) "
                "from ml.predictions where scored_at > clock_timestamp() - make_interval(secs => %s)",
                [self.look_s],
            ).fetchone()
        )
        assert row is not None
        at_s = time.monotonic() - self._began
        return Sample(at_s, max(resident) * _PAGES_TO_MB, float(row[0]), row[1], float(row[2]), float(row[3]))

    def thirds(self) -> list[tuple[str, float, float]]:
        """Each figure's median in the first and in the last third."""
        third = max(1, len(self.samples) // 3)
        names = ("resident_mb", "queue_kb", "p50_ms", "p99_ms")
        return [
            (
                name,
                statistics.median(getattr(sample, name) for sample in self.samples[:third]),
                statistics.median(getattr(sample, name) for sample in self.samples[-third:]),
            )
            for name in names
        ]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=1800.0)
    parser.add_argument("--rate", type=float, default=50.0, help="rows a second (default 50)")
    parser.add_argument("--kill-every", type=float, default=30.0, metavar="SECONDS")
    parser.add_argument("--look-every", type=float, default=30.0, metavar="SECONDS")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--server", choices=available(), default="embedded")
    options = parser.parse_args(arguments)
    rows = int(options.rate * options.seconds)
    plan = Plan("soak", options.seed, rows, options.seconds, options.workers, writers=2)
    step = Soak(options.look_every, options.kill_every)
    with running(options.server) as server:
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            connection.execute("create database soak")
        upgrade(server.url("soak"))
        report = harness.run(plan, server, "soak", Scenario(step))
    print(f"\n{'median of':<14}{'first third':>14}{'last third':>14}")
    for name, first, last in step.thirds():
        print(f"{name:<14}{first:>14.1f}{last:>14.1f}")
    show(report, options.server)
    return int(bool(report.wrong))


if __name__ == "__main__":
    sys.exit(main())
