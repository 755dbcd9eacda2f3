"""``python -m tests.faults.cluster``: a backfill and a replay into files on a Dask cluster whose processes are killed.

Two workers of one thread, one of them in a network namespace of its own where this user may make one, from which it
reaches scheduler and database over TCP. A worker is killed every two seconds, the scheduler once in each job. What
comes out is compared with one process's, row by row; exit 1 when anything differs.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psycopg

from db_functions.database import Connection
from tests.conftest import upgrade
from tests.faults.fleet import ROOT
from tests.servers import Server, running

_SPACE: Final = "pattern-scoring-test"
_HERE: Final = "10.213.77.1"
_THERE: Final = "10.213.77.2"
_SERIES: Final = 200
_BARS: Final = """
insert into price_bars
select 'S' || s, '1d', timestamptz '2023-01-01 21:00+00' + b * interval '1 day',
       p, p * 1.01, p * 0.99, p * (1 + 0.005 * sin(b * s)), 1000 + b
from generate_series(1, %s) s, generate_series(1, 500) b, lateral (select 100 * exp(0.1 * sin(b * 0.1 + s)) as p) v
"""
_ROWS: Final = """
insert into pattern_events (symbol, timeframe, pattern_type, direction, detected_at, entry, stoploss, target,
                            confidence)
select 'S' || 1 + n %% %(series)s, '1d', 'engulfing', 1,
       timestamptz '2023-01-01 21:00+00' + (140 + n / %(series)s %% 360) * interval '1 day' + n * interval '1 ms',
       v.close, v.close * 0.98, v.close * (1.02 + n %% 7 * 0.003), 0.6
from generate_series(1, %(rows)s) n,
     lateral (select close from price_bars where symbol = 'S' || 1 + n %% %(series)s and timeframe = '1d'
              and ts = timestamptz '2023-01-01 21:00+00' + (140 + n / %(series)s %% 360) * interval '1 day') v
"""
_COMPARED: Final = """
select count(*) from serial s join ml.predictions p on p.pattern_id = s.pattern_id and p.scored_at > s.last
where row(float4send(p.ml_confidence), p.input_hash, p.probabilities)
      is not distinct from row(s.bits, s.input_hash, s.probabilities)
"""


class Cluster:
    """A scheduler and two workers of one thread, each a process; a dead one is started again, as a supervisor would."""

    def __init__(self, url: str, folder: Path, host: str = "127.0.0.1", places: Sequence[list[str]] = ([], [])) -> None:
        with socket.socket() as probe:
            probe.bind((host, 0))
            self.address = f"tcp://{host}:{probe.getsockname()[1]}"
        self._environment = {**os.environ, "DATABASE_URL": url, "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "5s"}
        self._places = places
        self.log = folder / "log"
        self.memory = {"scheduler": 0.0, "worker": 0.0}
        """Megabytes that one of the kind had at most, as :meth:`tend` found it."""
        self._scheduler = self._start_scheduler()
        self._workers = [self._worker(number) for number in range(len(places))]

    def tend(self) -> None:
        """Start again what has ended."""
        if self._scheduler.poll() is not None:
            self._scheduler = self._start_scheduler()
        self._workers = [one if one.poll() is None else self._worker(n) for n, one in enumerate(self._workers)]
        for kind, processes in (("scheduler", [self._scheduler]), ("worker", self._workers)):
            self.memory[kind] = max(self.memory[kind], *(resident_mb(one.pid) for one in processes))

    def kill_worker(self, number: int) -> None:
        self._kill(self._workers[number % len(self._workers)])

    def kill_scheduler(self) -> None:
        self._kill(self._scheduler)

    def close(self) -> None:
        for one in (*self._workers, self._scheduler):
            self._kill(one)

    def _worker(self, number: int) -> subprocess.Popen[bytes]:
        options = ("--nthreads", "1", "--no-nanny", "--no-dashboard")
        return self._start(self._places[number], "worker", self.address, *options)

    def _start_scheduler(self) -> subprocess.Popen[bytes]:
        return self._start([], "scheduler", "--host", self.address, "--no-dashboard")

    def _start(self, place: list[str], kind: str, *arguments: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [*place, sys.executable, "-m", f"distributed.cli.dask_{kind}", *arguments],
                env=self._environment, cwd=ROOT, stdout=log, stderr=log,
            )  # fmt: skip

    @staticmethod
    def _kill(one: subprocess.Popen[bytes]) -> None:
        one.send_signal(signal.SIGKILL)
        one.wait()


@contextmanager
def cluster(
    url: str, folder: Path, host: str = "127.0.0.1", places: Sequence[list[str]] = ([], [])
) -> Iterator[Cluster]:
    made = Cluster(url, folder, host, places)
    try:
        yield made
    finally:
        made.close()


def resident_mb(pid: int) -> float:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@contextmanager
def namespace() -> Iterator[list[str]]:
    """A network namespace with one address, and what to put before a command to run it there; bridged to ``_HERE``."""
    link = ("ip", "link", "add", "ps-here", "type", "veth", "peer", "name", "ps-there", "netns", _SPACE)
    _run("ip", "netns", "add", _SPACE)
    try:
        _run(*link)
        _run("ip", "address", "add", f"{_HERE}/30", "dev", "ps-here")
        _run("ip", "link", "set", "ps-here", "up")
        for inside in (
            ("address", "add", f"{_THERE}/30", "dev", "ps-there"),
            ("link", "set", "ps-there", "up"),
            ("link", "set", "lo", "up"),
        ):
            _run("ip", "-n", _SPACE, *inside)
        yield ["ip", "netns", "exec", _SPACE]
    finally:
        _run("ip", "netns", "del", _SPACE)


def moved_bytes() -> int:
    """To and from the namespace, since it was made."""
    folder = Path("/sys/class/net/ps-here/statistics")
    return sum(int((folder / name).read_text(encoding="ascii")) for name in ("rx_bytes", "tx_bytes"))


@dataclass
class Found:
    """What one run has shown."""

    wrong: list[str] = field(default_factory=list)

    def note(self, name: str, value: float) -> None:
        print(f"  {name:<52} {value:>14,.1f}", flush=True)

    def check(self, name: str, value: float, wanted: float) -> None:
        self.note(name, value)
        if value != wanted:
            self.wrong.append(f"{name}: {value:,.0f} instead of {wanted:,.0f}")


@dataclass(frozen=True, slots=True)
class Site:
    """Where the jobs run: a database, a folder for files, and what to put before the command of each worker."""

    url: str
    folder: Path
    host: str
    places: list[list[str]]
    rows: int
    kill_every_s: float

    def run(self, *arguments: str) -> float:
        """One of our commands to its end; the seconds that it took."""
        began = time.monotonic()
        _run(sys.executable, "-m", *arguments, url=self.url)
        return time.monotonic() - began


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.cluster", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--kill-every", type=float, default=2.0, help="seconds (default 2)")
    parser.add_argument("--only", choices=("backfill", "replay"))
    options = parser.parse_args(arguments)
    found = Found()
    with ExitStack() as stack:
        server = stack.enter_context(running("embedded"))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        may = os.geteuid() == 0
        place, host = (stack.enter_context(namespace()), _HERE) if may else ([], "127.0.0.1")
        url = _prepare(server, host, options.rows)
        site = Site(url, folder, host, [[], place], options.rows, options.kill_every)
        site.run("worker", "first-passage", "--promote")
        if options.only != "replay":
            _backfill(found, site)
        if options.only != "backfill":
            _replay(found, site)
    print("every row is right" if not found.wrong else f"WRONG: {'; '.join(found.wrong)}")
    return min(len(found.wrong), 1)


def _prepare(server: Server, host: str, rows: int) -> str:
    """A database whose rows nobody has scored; its URL over TCP, so that a namespace reaches it."""
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute("create database cluster")
        rules = connection.execute("show hba_file").fetchone()
        assert rules is not None
    with Path(rules[0]).open("a", encoding="utf-8") as file:
        file.write(f"host all all {host}/30 trust\n")
    # The options of the command line go before any setting.
    _run(*server.control, "-m", "fast", "-o", f"-h {host} -k {server.host} -p {server.port}", "restart")
    upgrade(server.url("cluster"))
    url = f"postgresql://{server.user}@{host}:{server.port}/cluster"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("alter table pattern_events disable trigger ml_enqueue")
        connection.execute(_BARS, [_SERIES])
        connection.execute("analyze price_bars")
        connection.execute(_ROWS, {"series": _SERIES, "rows": rows})
        connection.execute("vacuum analyze pattern_events")
    return url


def _backfill(found: Found, site: Site) -> None:
    command = ["worker", "backfill", "--rescore"]
    found.note("backfill, one process: s", site.run(*command))
    with psycopg.connect(site.url, autocommit=True) as connection:
        connection.execute(
            "create table serial as select pattern_id, float4send(ml_confidence) as bits, input_hash, probabilities, "
            "max(scored_at) over () as last from ml.predictions"
        )
        connection.execute("vacuum analyze serial")
        found.check("rows that one process scored", _count(connection, "select count(bits) from serial"), site.rows)
        if site.places[1]:
            found.note("bytes moved a row by a worker alone", _moved_alone(site))
            connection.execute("update serial set last = (select max(scored_at) from ml.predictions)")
        _harassed(found, site, "backfill", command)
        connection.execute("vacuum analyze ml.predictions")
        added = "select count(*) from ml.predictions where scored_at > (select last from serial limit 1)"
        found.check("backfill, cluster: predictions", _count(connection, added), site.rows)
        found.check("backfill, cluster: equal to the bit", _count(connection, _COMPARED), site.rows)


def _moved_alone(site: Site) -> float:
    """Bytes a row that the worker of the namespace moves, by itself and without faults."""
    before, rows = moved_bytes(), min(100_000, site.rows)
    with cluster(site.url, site.folder, site.host, site.places[1:]) as calm:
        site.run("worker", "backfill", "--rescore", "--limit", str(rows), *_engine(calm))
    return (moved_bytes() - before) / rows


def _replay(found: Found, site: Site) -> None:
    import pyarrow.parquet as pq

    with psycopg.connect(site.url) as connection:
        row = connection.execute("select version from ml_internal.champion").fetchone()
        assert row is not None
    one, many = site.folder / "one", site.folder / "many"
    command = ["training", "replay", "--model", row[0], "--since", "2023-01-01", "-q", "--output"]
    found.note("replay, one process: s", site.run(*command, str(one)))
    _harassed(found, site, "replay", [*command, str(many)])
    ids = pq.read_table(many, columns=["pattern_id"]).column("pattern_id")
    found.check("replay, cluster: rows", len(ids), site.rows)
    found.check("replay, cluster: patterns", len(ids.unique()), site.rows)
    wanted, made = digests(one), digests(many)
    equal = sum(made.get(name) == digest for name, digest in wanted.items())
    found.check("replay, cluster: files equal to the bit", equal, len(wanted))
    found.check("replay, cluster: files", len(made), len(wanted))


def _harassed(found: Found, site: Site, name: str, command: list[str]) -> None:
    """Run the command on a cluster; kill a worker every so often, and the scheduler once, after the tenth worker."""
    began, killed, errors = time.monotonic(), 0, site.folder / "errors"
    with cluster(site.url, site.folder, site.host, site.places) as made, errors.open("w") as stderr:
        environment = {**os.environ, "DATABASE_URL": site.url}
        line = [sys.executable, "-m", *command, *_engine(made)]
        with subprocess.Popen(line, env=environment, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=stderr) as process:
            due = began + 3 * site.kill_every_s
            while process.poll() is None:
                time.sleep(0.1)
                made.tend()
                if time.monotonic() > due:
                    due += site.kill_every_s
                    killed += 1
                    made.kill_worker(killed)
                    if killed == 10:
                        made.kill_scheduler()
        found.check(f"{name}, cluster: exit code", process.returncode, 0)
        if process.returncode:
            print(errors.read_text()[-2000:])
        found.check(f"{name}, cluster: the URL in logs", made.log.read_text().count(site.url), 0)
        for kind, megabytes in made.memory.items():
            found.note(f"{name}, {kind}: MB at most", megabytes)
    found.note(f"{name}, cluster: s", time.monotonic() - began)
    found.note(f"{name}, cluster: workers killed", killed)


def digests(folder: Path) -> dict[str, str]:
    """Of the files of rows, by name."""
    files = folder.glob("month=*/*.parquet")
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def _engine(made: Cluster) -> list[str]:
    return ["--engine", "dask", "--scheduler", made.address]


def _count(connection: Connection, statement: str) -> int:
    row = connection.execute(statement).fetchone()
    assert row is not None
    return int(row[0])


def _run(*command: str, url: str = "") -> None:
    environment = {**os.environ, "DATABASE_URL": url}
    subprocess.run(command, env=environment, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(main())
