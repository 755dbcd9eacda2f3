"""One run: load, faults, drain, and then the books, which must balance to the row."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import psycopg

from db_functions.database import Connection
from tests.faults import books
from tests.faults.fleet import Fleet, in_transaction, login, proven
from tests.faults.proxy import Proxy
from tests.faults.writers import SERIES, Promises, Writer
from tests.servers import Server
from tests.support import insert_bars, make_champion, random_bars
from tests.worker_support import poison_model

KILL_EVERY_S = 0.2
RESTARTS = 5
POLL_S = 1.0
ANSWER_TIMEOUT_S = 2.0
DEAF_SLACK_S = 2.0
"""What a row may wait beyond the poll interval when the worker hears nothing, on a busy machine."""
T = TypeVar("T")
_BASELINE = {
    "outputs": {
        "ml_confidence": {"edges": [0.1 * n for n in range(1, 10)], "counts": [10] * 10, "nan": 0, "infinite": 0}
    }
}
"""Enough for the worker to count its answers in."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do. ``program``: Python text to run in place of ``python -m worker``, for shortcuts that must fail."""

    scenario: str
    seed: int = 0
    rows: int = 2_000
    seconds: float = 6.0
    workers: int = 2
    writers: int = 4
    program: str | None = None
    drain_s: float = 60.0


@dataclass(slots=True)
class Report:
    """What was done and what came of it; ``wrong`` is empty when every count is right."""

    plan: Plan
    faults: Counter[str] = field(default_factory=Counter)
    counts: dict[str, int] = field(default_factory=dict)
    latency_ms: dict[str, float] = field(default_factory=dict)
    loaded_s: float = 0.0
    drained_s: float = 0.0
    wrong: list[str] = field(default_factory=list)
    log: str = ""


@dataclass
class Scenario:
    """What is done to a run, beside its load; ``act`` is one step."""

    act: Callable[[Run], None] | None = None

    def prepare(self, this: Run) -> None:
        """Before the load."""

    def step(self, this: Run) -> None:
        """Again and again, while the load lasts."""
        assert self.act is not None
        self.act(this)

    def finish(self, this: Run) -> None:
        """After the load, before the queue is waited for."""

    def balance(self, connection: Connection, promises: Promises) -> tuple[dict[str, int], list[str]]:
        """Counts by name, and what is off."""
        return books.balance(connection, promises)

    def clear(self, this: Run) -> None:
        """At the end, whatever came of it."""


class Run:
    """What a scenario has at hand: the server, the workers, chance, and a connection that survives."""

    def __init__(self, plan: Plan, server: Server, database: str) -> None:
        self.plan, self.server, self.database = plan, server, database
        self.rng = random.Random(plan.seed)
        self.report = Report(plan)
        self.promises = Promises()
        self.proxy: Proxy | None = None
        self.fleet: Fleet
        self._connection: Connection | None = None

    def ask(self, action: Callable[[Connection], T]) -> T:
        """Do it over a connection of the harness's own, again when the server was away."""
        end = time.monotonic() + 30
        while True:
            try:
                if self._connection is None or self._connection.closed:
                    self._connection = psycopg.connect(self.server.url(self.database), autocommit=True)
                return action(self._connection)
            except psycopg.OperationalError:
                self.close()
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)

    def number(self, sql: str) -> int:
        row = self.ask(lambda connection: connection.execute(sql).fetchone())
        assert row is not None
        return int(row[0])

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def worker_url(self, place: int) -> str:
        if self.proxy is None:
            return self.server.url(self.database).replace(f"//{self.server.user}@", f"//{login(place)}@")
        return f"postgresql://{login(place)}@127.0.0.1:{self.proxy.port}/{self.database}"


def run(plan: Plan, server: Server, database: str, scenario: Scenario | None = None) -> Report:
    """Do what ``plan`` says to this database, which is at head and empty; ``scenario`` instead of one by its name."""
    this = Run(plan, server, database)
    scenario = scenario or Scenario(_SCENARIOS[plan.scenario])
    with ExitStack() as stack:
        stack.callback(this.close)
        this.ask(lambda connection: _prepare(connection, database, plan.workers))
        stack.callback(lambda: this.ask(lambda connection: _drop_logins(connection, plan.workers)))
        scenario.prepare(this)
        stack.callback(scenario.clear, this)
        if plan.scenario in ("network", "lost_listen"):
            this.proxy = Proxy(Path(server.host) / f".s.PGSQL.{server.port}", deaf=plan.scenario == "lost_listen")
            stack.callback(this.proxy.close)
        this.fleet = Fleet(
            [this.worker_url(place) for place in range(plan.workers)],
            *("--poll-interval", str(POLL_S)),
            *(("--answer-timeout", str(ANSWER_TIMEOUT_S)) if plan.scenario == "network" else ()),
            program=plan.program,
        )
        stack.callback(this.fleet.forget)
        try:
            _serve(this, scenario)
        finally:
            codes = this.fleet.stop()
            this.report.log = this.fleet.log()
        _close_books(this, scenario, codes)
    return this.report


def _serve(this: Run, scenario: Scenario) -> None:
    _wait(lambda: this.number("select count(*) from ml.workers where model_version is not null") > 0, 60)
    plan, report = this.plan, this.report
    url = this.server.url(this.database)
    began = time.monotonic()
    writers = [Writer(url, plan.seed * 1000 + n, plan.rows // plan.writers, plan.seconds) for n in range(plan.writers)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        scenario.step(this)
        this.fleet.tend()
    for writer in writers:
        writer.join()
        if writer.error is not None:
            raise writer.error
        this.promises.join(writer.promises)
    report.loaded_s = time.monotonic() - began
    scenario.finish(this)

    def empty() -> bool:
        this.fleet.tend()
        return this.number("select count(*) from ml.queue") == 0

    if not _wait(empty, plan.drain_s):
        report.wrong.append(f"the queue was not empty after {plan.drain_s:g} s")
    report.drained_s = time.monotonic() - began - report.loaded_s


def _close_books(this: Run, scenario: Scenario, codes: Sequence[int]) -> None:
    report = this.report
    report.counts, wrong = this.ask(lambda connection: scenario.balance(connection, this.promises))
    report.latency_ms = this.ask(books.latencies_ms)
    report.wrong += wrong
    report.counts["connections lost by writers"] = this.promises.lost_connections
    if any(codes):
        report.wrong.append(f"workers stopped with exit codes {list(codes)}")
    if this.fleet.deaths:
        report.wrong.append(f"workers ended by themselves, exit codes {this.fleet.deaths}")
    if this.proxy is not None:
        report.faults.update(this.proxy.done)
    if this.plan.scenario == "lost_listen" and report.latency_ms["max"] > (POLL_S + DEAF_SLACK_S) * 1000:
        report.wrong.append(f"a row waited {report.latency_ms['max']:.0f} ms, longer than the poll interval")
    if not report.faults:
        report.wrong.append("nothing was done to it")


def _prepare(connection: Connection, database: str, workers: int) -> None:
    # A commit that was acknowledged has to survive a crash of the server; in the tests' servers it would not.
    connection.execute(f'alter database "{database}" set synchronous_commit = on')
    for number, symbol in enumerate(SERIES):
        insert_bars(connection, random_bars(200, seed=number), symbol=symbol)
    make_champion(connection, "faulty-rows", poison_model("faulty-rows"), baseline=_BASELINE)
    _drop_logins(connection, workers)
    for place in range(workers):
        connection.execute(f"create role {login(place)} login in role ml_worker")


def _drop_logins(connection: Connection, workers: int) -> None:
    for place in range(workers):
        connection.execute(f"drop role if exists {login(place)}")


def _wait(condition: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def kill(this: Run) -> None:
    """A worker that has scored since its start, if possible in the middle of a batch."""
    time.sleep(KILL_EVERY_S)
    running = this.fleet.pids()
    able = sorted(running.keys() & this.ask(proven))
    if not able:
        return
    victim = this.rng.choice(able)
    until = time.monotonic() + this.rng.uniform(0, 0.2)
    while not (caught := this.ask(lambda connection: in_transaction(connection, running[victim]))):
        if time.monotonic() > until:
            break
    if caught:
        # Stopped, it stays where it is until the look has been confirmed.
        os.kill(victim, signal.SIGSTOP)
        caught = this.ask(lambda connection: in_transaction(connection, running[victim]))
    this.fleet.kill(victim)
    this.report.faults["kills"] += 1
    this.report.faults["kills in the middle of a batch"] += int(caught)


def restart(this: Run) -> None:
    """The server, with immediate mode: every backend ends without a word, and the log is replayed."""
    time.sleep(this.plan.seconds / (RESTARTS + 1))
    if this.report.faults["restarts"] < RESTARTS:
        this.server.restart()
        this.report.faults["restarts"] += 1


def terminate(this: Run) -> None:
    """One or all backends of the workers, by chance."""
    time.sleep(this.rng.uniform(0.05, 0.4))
    which = this.rng.choice(("pattern-scoring worker", "pattern-scoring listener", "pattern-scoring%"))
    limit = this.rng.choice((1, 1, 1, 100))
    ended = this.ask(
        lambda connection: connection.execute(
            "select pg_terminate_backend(pid) from (select pid from pg_stat_activity "
            "where usename like 'fault_worker_%%' and application_name like %s "
            "order by hashtext(pid::text || %s) limit %s) victims",
            [which, str(this.rng.random()), limit],
        ).fetchall()
    )
    this.report.faults["terminated backends"] += len(ended)


def network(this: Run) -> None:
    """One connection at a time stalls, is reset, half-open, silent for ever, or cut in the middle of a message."""
    time.sleep(this.rng.uniform(0.05, 0.4))
    assert this.proxy is not None
    this.proxy.hurt(this.rng)


def lost_listen(this: Run) -> None:
    """Connections live, but LISTEN never reaches the server (the proxy sees to that); rows are found by polling."""
    time.sleep(0.1)
    this.report.faults["connections without LISTEN"] = this.number(
        "select count(*) from pg_stat_activity where usename like 'fault_worker_%' "
        "and application_name = 'pattern-scoring listener' and query like 'unlisten%'"
    )


_SCENARIOS: dict[str, Callable[[Run], None]] = {
    "kill": kill,
    "restart": restart,
    "terminate": terminate,
    "network": network,
    "lost_listen": lost_listen,
}
SCENARIOS = tuple(_SCENARIOS)
