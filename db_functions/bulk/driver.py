"""Keeps an engine busy until the ledger says that everything is done."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Future, wait
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from db_functions.bulk.engines import Engine, Pool, in_process
from db_functions.bulk.sessions import Stopping
from db_functions.bulk.tasks import Outcome, is_unreachable
from db_functions.errors import DatabaseUnavailable, EngineUnavailable, WorkerRefused, first_line
from db_functions.progress import Bar

OUTAGE_S = 120.0
"""How long the database may be away before the job ends; what is done is kept."""
_POLL_S: Final = 1.0
_FAILURES: Final = 3
"""How often a slice is tried that raises."""
_LOSSES: Final = 20
"""How often a slice may be lost with its process before a page of it is done; then it may be what kills them."""
_AGAIN: Final = "; what is done is kept: run the command again"


@dataclass(frozen=True, slots=True)
class How:
    """How a job runs: on which engine, with bars from a replica or not, until told to stop."""

    engine: Engine = in_process
    replica: bool = False
    stopping: Stopping = lambda: False
    progress: bool = False


@dataclass(frozen=True, slots=True)
class OpenSlice:
    """A slice with pages that are not done."""

    number: int
    open: int


class Work(Protocol):
    """A job as its ledger tells it. Every method may raise what a lost connection raises, and is called again then."""

    def open_slices(self, beside: Collection[int], limit: int) -> Sequence[OpenSlice]: ...

    def left(self) -> int:
        """Rows that are not done."""

    def call(self, number: int) -> Sequence[Any]:
        """What to submit for a slice: a function that every process can import, and its arguments."""

    def repin(self) -> bool:
        """Go on with the models that serve now; False when they are those that the job has."""


@dataclass(slots=True)
class _Trouble:
    """What has happened to a slice since a page of it was done last."""

    open: int
    lost: int = 0
    failed: int = 0


def drive(work: Work, pool: Pool, how: How, name: str) -> Mapping[int, str]:
    """Work everything off that is left, or until told to stop, and end the pool.

    Returns the slices that were given up, and why.
    """
    with Bar(shown=how.progress, desc=name, total=work.left(), lasting=True) as bar:
        driver = _Driver(work, pool, how.stopping, bar)
        driver.run()
        pool.close()
    return driver.given_up


@dataclass(slots=True)
class _Driver:
    """Runs the slices of ``work``; those that keep failing are in ``given_up``, with the reason."""

    work: Work
    pool: Pool
    stopping: Stopping
    bar: Bar
    given_up: dict[int, str] = field(default_factory=dict)
    _flying: dict[Future[Outcome], int] = field(default_factory=dict)
    _trouble: dict[int, _Trouble] = field(default_factory=dict)
    _left: int | None = None
    _away_since: float | None = None
    _moved: int = 0

    def run(self) -> None:
        """Returns when nothing is left that can be done, or when told to stop."""
        while not self.stopping():
            try:
                opened = self._look()
            except Exception as error:
                if not is_unreachable(error):
                    raise
                self._wait_for_database(first_line(error))
                continue
            if not opened and not self._flying:
                return
            self._submit(opened)
            self._collect()

    def _look(self) -> Sequence[OpenSlice]:
        """The slices to submit. Twice as many are in flight as can run, so that no process waits for the driver."""
        left = self.work.left()
        if self._left is not None:
            self.bar.update(self._left - left)
        if left != self._left:
            self._left, self._away_since, self._moved = left, None, 0
        try:
            room = 2 * self.pool.width() - len(self._flying)
        except EngineUnavailable:
            raise
        except Exception:  # noqa: BLE001  # whatever an engine raises when it is gone
            self._renew()
            room = 1
        if room <= 0:
            return []
        return self.work.open_slices([*self._flying.values(), *self.given_up], room)

    def _submit(self, opened: Sequence[OpenSlice]) -> None:
        for one in opened:
            trouble = self._trouble.setdefault(one.number, _Trouble(one.open))
            if one.open < trouble.open:
                self._trouble[one.number] = _Trouble(one.open)
            try:
                self._flying[self.pool.submit(*self.work.call(one.number))] = one.number
            except (BrokenExecutor, RuntimeError):
                self._renew()
                return
            if self.stopping():
                return

    def _collect(self) -> None:
        if not self._flying:
            return
        done, _ = wait(self._flying, timeout=_POLL_S, return_when=FIRST_COMPLETED)
        broken = False
        for future in done:
            number = self._flying.pop(future)
            try:
                self._judge(number, future.result())
            except (CancelledError, BrokenExecutor) as error:
                broken = True
                self._lost(number, first_line(error))
            except (WorkerRefused, DatabaseUnavailable):
                raise
            except ImportError as error:
                raise WorkerRefused(f"a worker of the engine lacks the package: {first_line(error)}") from error
            except Exception as error:  # noqa: BLE001  # KilledWorker, and what else an engine makes of a lost process
                self._lost(number, first_line(error))
        if broken:
            self._renew()

    def _judge(self, number: int, outcome: Outcome) -> None:
        if outcome.state == "refused":
            raise WorkerRefused(outcome.message)
        if outcome.state == "unreachable":
            self._wait_for_database(outcome.message)
        if outcome.state == "moved":
            self._moved = 0 if self.work.repin() else self._moved + 1
            if self._moved > _LOSSES:
                raise WorkerRefused(f"{outcome.message}: it cannot load those of the job")
        if outcome.state == "failed":
            trouble = self._trouble[number]
            trouble.failed += 1
            if trouble.failed >= _FAILURES:
                self.given_up[number] = outcome.message

    def _lost(self, number: int, message: str) -> None:
        """Unknown until the ledger says: it is submitted again while it has open pages."""
        trouble = self._trouble[number]
        trouble.lost += 1
        if trouble.lost >= _LOSSES:
            self.given_up[number] = f"its process ended {_LOSSES} times: {message}"

    def _renew(self) -> None:
        self._flying.clear()
        self.pool.renew()

    def _wait_for_database(self, message: str) -> None:
        now = time.monotonic()
        self._away_since = self._away_since or now
        if now - self._away_since > OUTAGE_S:
            raise DatabaseUnavailable(f"{message}{_AGAIN}")
        time.sleep(_POLL_S)
