"""Job queues that others run on Postgres, as their users run them: to be measured beside this one.

Each is its newest release, with its own schema, its own way to enqueue and its own worker, set to the fastest that its
documentation offers: many jobs at a time, finished ones deleted. A task gets the text that was enqueued.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from importlib.metadata import version

import asyncpg
import procrastinate
import psycopg
from pgqueuer import AsyncpgDriver, Job, PgQueuer, PsycopgDriver, Queries
from pgqueuer.db import Driver
from pgqueuer.domain.types import QueueExecutionMode
from procrastinate.types import JSONDict

Task = Callable[[str], None]
_AT_ONCE = 5_000
"""Jobs of one enqueueing statement."""


class Peer(ABC):
    """One queue; every method takes the URL of a database and opens connections of its own."""

    name: str
    """With its version, for tables."""

    @abstractmethod
    def install(self, url: str) -> None:
        """Create its schema."""

    @abstractmethod
    def enqueue(self, url: str, payloads: Sequence[str]) -> None:
        """As its users enqueue many."""

    @abstractmethod
    def work(self, url: str, task: Task, *, drain: bool = True, stop_after_s: float | None = None) -> None:
        """Run one worker in this process until nothing waits (``drain``), or the time is up, if any."""


class Procrastinate(Peer):
    """One statement a job to fetch, one to finish; concurrent tasks share a pool."""

    name = f"procrastinate {version('procrastinate')}"

    def __init__(self, concurrency: int = 30) -> None:
        self._concurrency = concurrency

    def install(self, url: str) -> None:
        with self._app(url, lambda _: None) as app, app.open():
            app.schema_manager.apply_schema()

    def enqueue(self, url: str, payloads: Sequence[str]) -> None:
        with self._app(url, lambda _: None) as app, app.open():
            for part in _parts(payloads):
                jobs: list[JSONDict] = [{"payload": payload} for payload in part]
                app.tasks["job"].batch_defer(*jobs)

    def work(self, url: str, task: Task, *, drain: bool = True, stop_after_s: float | None = None) -> None:
        async def run() -> None:
            with self._app(url, task, asynchronous=True) as app:
                async with app.open_async():
                    worker = app.run_worker_async(
                        wait=not drain,
                        concurrency=self._concurrency,
                        delete_jobs="always",
                        install_signal_handlers=False,
                    )
                    with contextlib.suppress(TimeoutError, asyncio.CancelledError):
                        await asyncio.wait_for(worker, stop_after_s)

        asyncio.run(run())

    @contextlib.contextmanager
    def _app(self, url: str, task: Task, *, asynchronous: bool = False) -> Iterator[procrastinate.App]:
        connector = procrastinate.PsycopgConnector if asynchronous else procrastinate.SyncPsycopgConnector
        app = procrastinate.App(connector=connector(conninfo=url, max_size=self._concurrency + 5))

        @app.task(name="job")
        async def job(payload: str) -> None:
            task(payload)

        yield app


class PgQueuerOver(Peer):
    """Fetches jobs in batches and logs their ends in batches, over either of its drivers."""

    def __init__(self, driver: str = "asyncpg", batch: int = 256) -> None:
        self.name = f"pgqueuer {version('pgqueuer')} ({driver})"
        self._driver = driver
        self._batch = batch

    def install(self, url: str) -> None:
        async def run() -> None:
            async with self._connected(url) as driver:
                await Queries(driver).install()

        asyncio.run(run())

    def enqueue(self, url: str, payloads: Sequence[str]) -> None:
        async def run() -> None:
            async with self._connected(url) as driver:
                for part in _parts(payloads):
                    await Queries(driver).enqueue(
                        ["job"] * len(part), [payload.encode() for payload in part], [0] * len(part)
                    )

        asyncio.run(run())

    def work(self, url: str, task: Task, *, drain: bool = True, stop_after_s: float | None = None) -> None:
        async def run() -> None:
            async with self._connected(url) as driver:
                application = PgQueuer(driver)

                @application.entrypoint("job")
                async def job(found: Job) -> None:
                    task((found.payload or b"").decode())

                if stop_after_s is not None:
                    asyncio.get_running_loop().call_later(stop_after_s, application.shutdown.set)
                mode = QueueExecutionMode.drain if drain else QueueExecutionMode.continuous
                await application.run(batch_size=self._batch, mode=mode)

        asyncio.run(run())

    @contextlib.asynccontextmanager
    async def _connected(self, url: str) -> AsyncIterator[Driver]:
        if self._driver == "asyncpg":
            connection = await asyncpg.connect(url)
            yield AsyncpgDriver(connection)
            await connection.close()
        else:
            async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
                yield PsycopgDriver(connection)


def peers() -> list[Peer]:
    """All of them, quietened."""
    for name in ("procrastinate", "pgqueuer"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return [Procrastinate(), PgQueuerOver("psycopg"), PgQueuerOver("asyncpg")]


def _parts(payloads: Sequence[str]) -> Iterator[Sequence[str]]:
    for first in range(0, len(payloads), _AT_ONCE):
        yield payloads[first : first + _AT_ONCE]
