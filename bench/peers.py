"""Job queues that others run on Postgres, with the same work: gather, score and write one row a job.

Each is its newest release with its own schema, its own way to enqueue and its own worker, set to the fastest that its
documentation offers: many jobs at a time, finished ones deleted. A task keeps one engine for the life of its process,
bars included, so only the queue differs, and that a job is one row.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Final

import asyncpg
import procrastinate
import psycopg
from pgqueuer import AsyncpgDriver, Job, PgQueuer, PsycopgDriver, Queries
from pgqueuer.adapters.persistence.qb import QueryQueueBuilder
from pgqueuer.db import Driver
from pgqueuer.domain.types import QueueExecutionMode
from psycopg.rows import class_row

from bench.server import connect
from db_functions.gather import Pattern
from db_functions.queries import query
from worker.serving.engine import Engine

Task = Callable[[str], None]
"""Gets the text that was enqueued: a pattern's id."""
_ROW: Final = f"select {query('pattern_columns')}\nfrom public.pattern_events p where p.id = %(id)s"


class Peer(ABC):
    """One queue; every method takes the URL of a database and opens connections of its own."""

    name: str
    defer: str
    """SQL that makes ``bench.defer(uuid[])``: the peer's own enqueueing statement as a function."""

    def install(self, url: str) -> None:
        """Create its schema, and ``bench.defer(uuid[])``."""
        self._create(url)
        with connect(url) as connection:
            connection.execute("create schema if not exists bench")
            connection.execute(self.defer)

    @abstractmethod
    def _create(self, url: str) -> None:
        """Create its schema."""

    @abstractmethod
    def work(self, url: str, task: Task, *, drain: bool = True, stop_after_s: float | None = None) -> None:
        """Run one worker in this process until nothing waits (``drain``), or until the time is up, if given."""


class Procrastinate(Peer):
    """One statement a job to fetch, one to finish; concurrent tasks share a pool."""

    name = "procrastinate"
    defer = """
        create function bench.defer(ids uuid[]) returns bigint[] language sql as $$
            select procrastinate_defer_jobs_v1(array_agg(row('default', 'job', 0, null, null,
                jsonb_build_object('payload', id::text), null)::procrastinate_job_to_defer_v1)) from unnest(ids) id
        $$"""
    _CONCURRENCY: Final = 30

    def _create(self, url: str) -> None:
        with self._app(url, lambda _: None) as app, app.open():
            app.schema_manager.apply_schema()

    def work(self, url: str, task: Task, *, drain: bool = True, stop_after_s: float | None = None) -> None:
        async def run() -> None:
            with self._app(url, task, asynchronous=True) as app:
                async with app.open_async():
                    worker = app.run_worker_async(
                        wait=not drain,
                        concurrency=self._CONCURRENCY,
                        delete_jobs="always",
                        install_signal_handlers=False,
                    )
                    with contextlib.suppress(TimeoutError, asyncio.CancelledError):
                        await asyncio.wait_for(worker, stop_after_s)

        asyncio.run(run())

    @contextlib.contextmanager
    def _app(self, url: str, task: Task, *, asynchronous: bool = False) -> Iterator[procrastinate.App]:
        connector = procrastinate.PsycopgConnector if asynchronous else procrastinate.SyncPsycopgConnector
        app = procrastinate.App(connector=connector(conninfo=url, max_size=self._CONCURRENCY + 5))

        @app.task(name="job")
        async def job(payload: str) -> None:
            task(payload)

        yield app


class PgQueuerOver(Peer):
    """Fetches jobs in batches and logs their ends in batches, over either of its drivers."""

    defer = f"""
        create function bench.enqueue(integer[], text[], bytea[], interval[], text[], jsonb[])
        returns table (ord bigint, id bigint) language sql as $$ {QueryQueueBuilder().build_enqueue_query()} $$;
        create function bench.defer(ids uuid[]) returns bigint language sql as $$
            select count(*) from bench.enqueue(
                array_fill(0, array[cardinality(ids)]), array_fill('job'::text, array[cardinality(ids)]),
                (select array_agg(convert_to(id::text, 'UTF8')) from unnest(ids) id),
                array_fill(interval '0', array[cardinality(ids)]), array_fill(null::text, array[cardinality(ids)]),
                array_fill(null::jsonb, array[cardinality(ids)]))
        $$"""
    _BATCH: Final = 256

    def __init__(self, driver: str) -> None:
        self.name = f"pgqueuer ({driver})"
        self._driver = driver

    def _create(self, url: str) -> None:
        async def run() -> None:
            async with self._connected(url) as driver:
                await Queries(driver).install()

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
                await application.run(batch_size=self._BATCH, mode=mode)

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


PEERS: Final = (Procrastinate(), PgQueuerOver("psycopg"), PgQueuerOver("asyncpg"))
for _name in ("procrastinate", "pgqueuer"):
    logging.getLogger(_name).setLevel(logging.ERROR)


class ScoreOne:
    """A task that scores one row by its id with the worker's engine."""

    def __init__(self, url: str, done: Callable[[], None] = lambda: None) -> None:
        self._connection = connect(url)
        self._engine = Engine(self._connection)
        self._engine.refresh_model()
        self._done = done

    def __call__(self, pattern: str) -> None:
        with self._connection.cursor(row_factory=class_row(Pattern)) as cursor:
            row = cursor.execute(_ROW, {"id": pattern}).fetchone()
        assert row is not None
        self._engine.score_rows([row], rescore=False)
        self._done()


def work_with_peer(url: str, peer: Peer, seconds: float, ready: Any) -> None:
    """A worker of the peer for some seconds; run it in a process of its own."""
    task = ScoreOne(url)
    ready.set()
    peer.work(url, task, drain=False, stop_after_s=seconds)


def poll_every_second(url: str, seconds: float, ready: Any) -> None:
    """The plainest service: look for rows, score all there are, sleep a second."""
    engine = Engine(connect(url))
    engine.refresh_model()
    ready.set()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        while engine.score_queue(after=0).done:
            pass
        time.sleep(1.0)


def drain_with_peer(url: str, peer: Peer, seconds: float) -> float:
    """Rows a second of one worker of the peer over everything without a score, its start not counted."""
    peer.install(url)
    with connect(url) as connection:
        connection.execute("select bench.defer(array_agg(id)) from pattern_events where scored_at is null")
        connection.execute("vacuum analyze")
    context = multiprocessing.get_context("spawn")
    answer = context.Queue()
    process = context.Process(target=_drain, args=(url, peer, seconds, answer), daemon=True)
    process.start()
    rate: float = answer.get(timeout=seconds + 60)
    process.join(30)
    if process.is_alive():
        process.terminate()
    return rate


def _drain(url: str, peer: Peer, seconds: float, answer: Any) -> None:
    times: list[float] = []
    peer.work(url, ScoreOne(url, lambda: times.append(time.monotonic())), stop_after_s=seconds)
    answer.put(steady_rate(times))


def steady_rate(times: list[float]) -> float:
    """Jobs a second from the first that ended to the last."""
    return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 0.0
