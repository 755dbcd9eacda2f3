"""Worker processes as users run them: each under a login of its own, started again when it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from db_functions.database import Connection

ROOT = Path(__file__).parent.parent.parent
STOP_TIMEOUT_S = 15.0


def login(place: int) -> str:
    """The role under which the worker in this place connects; so its backends can be told from the others'."""
    return f"fault_worker_{place}"


@dataclass(slots=True)
class _Place:
    process: subprocess.Popen[bytes]
    started: float


class Fleet:
    """``size`` workers. Ends only processes that it started."""

    def __init__(self, urls: list[str], *arguments: str, program: str | None = None) -> None:
        self._urls, self._arguments, self._program = urls, arguments, program
        self._folder = Path(tempfile.mkdtemp(prefix="faults-"))
        self._places = [self._start(place) for place in range(len(urls))]
        self.deaths: list[int] = []
        """Exit codes of workers that ended although nobody killed them."""

    def _start(self, place: int) -> _Place:
        command = ["-m", "worker"] if self._program is None else ["-c", self._program]
        with (self._folder / f"worker-{place}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, *command, "run", *self._arguments],
                env={**os.environ, "DATABASE_URL": self._urls[place]},
                cwd=ROOT,
                stdout=log,
                stderr=log,
            )
        return _Place(process, time.monotonic())

    def pids(self) -> dict[int, int]:
        """Place by process id, of those that run."""
        return {place.process.pid: n for n, place in enumerate(self._places) if place.process.poll() is None}

    def kill(self, pid: int) -> None:
        """SIGKILL, and another in its place."""
        number = self.pids()[pid]
        os.kill(pid, signal.SIGKILL)
        self._places[number].process.wait()
        self._places[number] = self._start(number)

    def tend(self) -> None:
        """Start again whatever ended by itself."""
        for number, place in enumerate(self._places):
            if (code := place.process.poll()) is not None:
                self.deaths.append(code)
                self._places[number] = self._start(number)

    def stop(self) -> list[int]:
        """SIGTERM to all; their exit codes. One that does not stop in time is killed, and its code says so."""
        running = [place.process for place in self._places]
        for process in running:
            process.terminate()
        codes = []
        for process in running:
            try:
                code = process.wait(STOP_TIMEOUT_S)
                # One that was started a moment ago may end before it can handle signals: it had done nothing yet.
                codes.append(0 if code == -signal.SIGTERM else code)
            except subprocess.TimeoutExpired:
                process.kill()
                codes.append(process.wait())
        return codes

    def log(self) -> str:
        """What all of them have written, for a person who looks for the cause."""
        return "".join(path.read_text(errors="replace") for path in sorted(self._folder.glob("*.log")))

    def forget(self) -> None:
        """Remove the logs."""
        for path in self._folder.glob("*.log"):
            path.unlink()
        self._folder.rmdir()


def proven(connection: Connection) -> set[int]:
    """Process ids of workers that have scored since their start; to kill others would only starve the run."""
    rows = connection.execute(
        "select w.pid from ml.workers w where w.stopped_at is null and exists ("
        "select from ml.predictions p where p.worker_id = w.id)"
    ).fetchall()
    return {row[0] for row in rows}


def in_transaction(connection: Connection, place: int) -> bool:
    """Whether the newest work connection of the worker in this place is in the middle of a batch."""
    row = connection.execute(
        "select xact_start is not null from pg_stat_activity "
        "where usename = %s and application_name = 'pattern-scoring worker' order by backend_start desc limit 1",
        [login(place)],
    ).fetchone()
    return row is not None and bool(row[0])
