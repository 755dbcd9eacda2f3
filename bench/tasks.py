"""The same work given to the peers: a row's id is a job, and its task gathers, scores and writes as this worker does.

Their tasks keep one engine for the life of their process, series kept in memory included, so what differs is the queue
and that a job is one row.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from typing import Any, Final

import psycopg
from pgqueuer.adapters.persistence.qb import QueryQueueBuilder

from bench.peers import Peer, PgQueuerOver, Procrastinate
from db_functions.gather import pattern_rows
from db_functions.queries import query
from worker.serving.engine import Engine

PROCRASTINATE: Final = "procrastinate"
PGQUEUER: Final = "pgqueuer"
PEERS: Final = (PROCRASTINATE, f"{PGQUEUER} (psycopg)", f"{PGQUEUER} (asyncpg)")
_ROW = f"select\n{query('pattern_columns')}\nfrom public.pattern_events p where p.id = %(id)s"
_DEFER: Final = {
    PROCRASTINATE: """
        create function bench.defer(ids uuid[]) returns bigint[] language sql as $$
            select procrastinate_defer_jobs_v1(array_agg(row('default', 'job', 0, null, null,
                jsonb_build_object('payload', id::text), null)::procrastinate_job_to_defer_v1)) from unnest(ids) id
        $$""",
    PGQUEUER: f"""
        create function bench.enqueue(integer[], text[], bytea[], interval[], text[], jsonb[])
        returns table (ord bigint, id bigint) language sql as $$ {QueryQueueBuilder().build_enqueue_query()} $$;
        create function bench.defer(ids uuid[]) returns bigint language sql as $$
            select count(*) from bench.enqueue(
                array_fill(0, array[cardinality(ids)]), array_fill('job'::text, array[cardinality(ids)]),
                (select array_agg(convert_to(id::text, 'UTF8')) from unnest(ids) id),
                array_fill(interval '0', array[cardinality(ids)]), array_fill(null::text, array[cardinality(ids)]),
                array_fill(null::jsonb, array[cardinality(ids)]))
        $$""",
}


def queue_of(name: str) -> Peer:
    if name == PROCRASTINATE:
        return Procrastinate()
    return PgQueuerOver("asyncpg" if "asyncpg" in name else "psycopg")


def install(url: str, name: str) -> None:
    """Its schema, and ``bench.defer(uuid[])``: the statement by which it enqueues, as a function; our trigger off."""
    queue_of(name).install(url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_DEFER[PROCRASTINATE if name == PROCRASTINATE else PGQUEUER])
        connection.execute("alter table pattern_events disable trigger ml_enqueue")


class ScoreOne:
    """A task: one row by its id."""

    def __init__(self, url: str, done: Callable[[], None] = lambda: None) -> None:
        self._connection = psycopg.connect(url, autocommit=True)
        self._engine = Engine(self._connection)
        self._engine.refresh_model()
        self._done = done

    def __call__(self, pattern: str) -> None:
        with self._connection.cursor(row_factory=pattern_rows) as cursor:
            rows = cursor.execute(_ROW, {"id": pattern}).fetchall()
        self._engine.score_rows(rows, rescore=False)
        self._done()


def work_with_peer(url: str, name: str, seconds: float, ready: Any) -> None:
    """A worker of the peer's for some seconds; to be run in a process of its own."""
    task = ScoreOne(url)
    ready.set()
    queue_of(name).work(url, task, drain=False, stop_after_s=seconds)


def poll_every_second(url: str, seconds: float, ready: Any) -> None:
    """The plainest service: look for rows, score all there are, sleep a second."""
    engine = Engine(psycopg.connect(url, autocommit=True))
    engine.refresh_model()
    ready.set()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        while engine.score_queue(after=0).done:
            pass
        time.sleep(1.0)


def _drain(url: str, name: str, seconds: float, answer: Any) -> None:
    times: list[float] = []
    task = ScoreOne(url, lambda: times.append(time.monotonic()))
    queue_of(name).work(url, task, drain=True, stop_after_s=seconds)
    answer.put((len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 0.0)


def drain_with_peer(url: str, name: str, seconds: float) -> float:
    """Rows a second of one worker of the peer's over everything without a score; its start is not counted."""
    install(url, name)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("select bench.defer(array_agg(id)) from pattern_events where scored_at is null")
        connection.execute("vacuum analyze")
    context = multiprocessing.get_context("spawn")
    answer = context.Queue()
    process = context.Process(target=_drain, args=(url, name, seconds, answer), daemon=True)
    process.start()
    rate: float = answer.get(timeout=seconds + 60)
    process.join(30)
    if process.is_alive():
        process.terminate()
    return rate
