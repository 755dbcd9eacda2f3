"""The life of a worker: listen first, drain until empty, wait for a ring or the poll interval, drain again."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import datetime

import psycopg

from db_functions.database import Connection, connect
from db_functions.errors import DatabaseUnavailable, InvalidUrl, SchemaOutdated, first_line, translated
from db_functions.queries import fetch_value
from db_functions.sandbox import resident_bytes
from db_functions.sessions import is_pooled
from worker import __version__
from worker.log import event
from worker.serving import probation, schema
from worker.serving.doorbell import PACE_S, SETTLE_S, Doorbell
from worker.serving.engine import BATCH, Engine
from worker.serving.listener import Listener, Signals
from worker.serving.marks import LOOK_S, Marks
from worker.serving.questions import Questions
from worker.serving.startup import apply_environment, start_worker
from worker.serving.upkeep import EVERY_S, Upkeep

logger = logging.getLogger(__name__)

_BACKOFF_FIRST_S, _BACKOFF_MOST_S = 0.1, 10.0
LOST = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.ReadOnlySqlTransaction,  # a standby, while a failover is under way
    DatabaseUnavailable,
)
"""Errors worth reconnecting for."""
_REPORT_S = 60.0


@dataclass(frozen=True, slots=True)
class Options:
    """How a worker runs. ``poll_interval_s`` bounds the wait for a row whose ring was not heard."""

    poll_interval_s: float = 1.0
    heartbeat_s: float = 5.0
    batch: int = BATCH
    max_resident_bytes: int = 2 * 2**30
    """A worker that has grown beyond this stops after its batch; the caller starts a fresh one."""
    answer_timeout_s: float = 75.0
    """A connection counts as lost when the server does not answer for this long; the server gives up after 60 s."""
    upkeep_s: Mapping[str, float] = field(default_factory=lambda: EVERY_S)
    """How often each task of upkeep is due."""
    give_up_after_s: float | None = None
    """How long to try without a database before ending with the error; None: for ever."""


def run(options: Options, signals: Signals, *, url: str | None = None, ready: Callable[[], None] | None = None) -> bool:
    """Score until ``signals`` says stop, reconnecting after every lost connection.

    Calls ``ready`` whenever it is connected. Returns whether it stopped because it had grown too large.
    """
    worker: _Worker | None = None
    retries = _Retries(options.give_up_after_s)
    while not signals.stopping:
        try:
            if worker is None:
                worker = _Worker(options, signals, url)
            else:
                worker.reconnect()
            retries.succeeded()
            if ready is not None:
                ready()
            worker.work()
        except InvalidUrl:
            raise  # a kind of DatabaseUnavailable, but no retry helps
        except (*LOST, SchemaOutdated) as error:
            signals.pause(retries.failed(error))
    if worker is None:
        return False
    worker.close()
    return worker.too_heavy


def server_of(connection: Connection) -> datetime:
    """When the server that answers was started; behind a pooler another one may come to answer."""
    started: datetime = fetch_value(connection, "server_started")
    return started


class _Retries:
    """How long to wait before the next attempt: twice as long each time, with jitter."""

    def __init__(self, give_up_after_s: float | None) -> None:
        self._give_up_after_s = give_up_after_s
        self._lost_at = time.monotonic()
        self._delay_s = _BACKOFF_FIRST_S

    def succeeded(self) -> None:
        self._delay_s = _BACKOFF_FIRST_S

    def failed(self, error: Exception) -> float:
        """Seconds to wait now. Raises ``error`` when it is time to give up."""
        if self._delay_s == _BACKOFF_FIRST_S:
            self._lost_at = time.monotonic()
        if self._give_up_after_s is not None and time.monotonic() - self._lost_at > self._give_up_after_s:
            raise error
        wait_s = self._delay_s * random.uniform(0.5, 1.5)  # noqa: S311  # jitter, not a secret
        self._delay_s = min(self._delay_s * 2, _BACKOFF_MOST_S)
        said = " ".join(str(error).split())
        if isinstance(error, SchemaOutdated):
            logger.warning(
                "waiting, with nothing claimed: %(error)s", event("schema_outdated", retry_in_s=wait_s, error=said)
            )
        else:
            logger.warning(
                "database lost, trying again in %(retry_in_s).1f s: %(error)s",
                event("database_lost", retry_in_s=wait_s, error=said),
            )
        return wait_s


class _Worker:
    def __init__(self, options: Options, signals: Signals, url: str | None) -> None:
        self._options = options
        self._signals = signals
        self._url = url
        self._listener, work = self._connections()
        try:
            self._server = server_of(work)
            with translated():
                apply_environment(work)
                worker_id = start_worker(work, "worker")
            self._engine = Engine(work, worker_id)
        except BaseException:
            for connection in (work, self._listener.connection):
                connection.close()
            raise
        self._marks = Marks()
        self._doorbell = Doorbell()
        self._questions = Questions(options.poll_interval_s)
        self.too_heavy = False
        self._beat_at = -float("inf")
        self._upkeep = Upkeep(url, options.upkeep_s)
        self._upkeep.start()
        self._reported_at, self._reported = time.monotonic(), asdict(self._engine.counters)
        logger.info("worker %(worker)d started", event("worker_started", worker=worker_id, version=__version__))

    def reconnect(self) -> None:
        """Begin again with two fresh connections, whose state is known."""
        self._close_connections()
        self._listener, work = self._connections()
        self._server = server_of(work)
        self._engine.reconnected(work)
        # This may be another server, whose queue ids begin elsewhere.
        self._marks, self._doorbell = Marks(), Doorbell()
        logger.info("database found again", event("database_found"))

    def work(self) -> None:
        self._engine.refresh_model()
        if self._engine.worker_id is not None and probation.unclean(self._engine.connection, self._engine.worker_id):
            logger.warning(
                "a worker of this host ended without a goodbye: scoring the oldest rows one at a time first",
                event("probation"),
            )
            probation.serve(self._engine, self._listener.connection, self._signals)
        # A process that was killed, or a connection that was lost, may have left the bell muted.
        self._settle(at_start=True)
        while not self._signals.stopping:
            self._beat()
            self._doorbell.settled(self._engine.connection)
            self._drain()
            self._settle()
            self._sleep()

    def close(self) -> None:
        """Say goodbye, if the database still answers."""
        self._upkeep.stop()
        try:
            self._engine.heartbeat(stopping=True)
        except psycopg.Error as error:
            logger.warning("no goodbye: %(error)s", event("goodbye_failed", error=first_line(error)))
        self._close_connections()
        logger.info("worker stopped after %(scored)d scores", event("worker_stopped", **asdict(self._engine.counters)))

    def _sleep(self) -> None:
        """Until a row rings, or the nap is over; questions are answered meanwhile."""
        end = time.monotonic() + self._nap_s()
        while not self._signals.stopping and not self._listener.wait(max(0.0, end - time.monotonic())):
            if time.monotonic() >= end:
                return
            self._answer(rows_wait=False)

    def _nap_s(self) -> float:
        """How long to sleep unless the bell rings: a transaction open for long may hold rows that never ring."""
        longest = min(self._options.poll_interval_s, self._options.heartbeat_s)
        return longest if self._marks.complete and not self._doorbell.waits else min(longest, LOOK_S)

    def _drain(self) -> None:
        """Score until a full look, from the proven mark on, finds no row that another worker has not claimed."""
        engine, marks = self._engine, self._marks
        # The last look before sleeping left the hot mark at the proven one: after a ring the first claim finds the row.
        full_look = marks.hot == marks.proven and marks.complete
        while not self._signals.stopping:
            self._signals.pause(self._doorbell.pace_s())
            try:
                result = engine.score_queue(self._options.batch, marks.hot)
            except psycopg.errors.QueryCanceled as error:
                logger.warning(
                    "a batch was cancelled; looking for the row: %(error)s",
                    event("batch_cancelled", error=first_line(error)),
                )
                probation.serve(engine, self._listener.connection, self._signals)
                continue
            marks.claimed(result.claimed_up_to)
            self._answer(rows_wait=result.done > 0)
            if result.done:
                self._doorbell.claimed(engine.connection, result.done)
                # After the claim, so that the first row after a pause does not wait for a look.
                if full_look := marks.due():
                    marks.look_again(engine.connection)
                self._beat()
            elif result.claimed_up_to:
                # An application has locked all of them: go on with the rows behind them; the next full look comes back.
                continue
            elif full_look and self._doorbell.lingers():
                self._signals.pause(PACE_S)
            elif full_look:
                return
            else:
                marks.look_again(engine.connection)
                full_look = True

    def _answer(self, *, rows_wait: bool) -> None:
        """Answer questions that were heard of, or that no ring told of."""
        self._questions.pending |= self._listener.hears_question()
        self._questions.answer(self._engine, rows_wait=rows_wait)
        self._listener.asked = self._questions.pending  # then it does not sleep

    def _settle(self, *, at_start: bool = False) -> None:
        """Before sleeping: let writers ring again, and wait for those that may have found the bell muted."""
        muted = at_start or self._doorbell.muted
        while muted and not self._signals.stopping:
            self._doorbell.release(self._engine.connection)
            settled = False
            while not settled and self._doorbell.patient() and not self._signals.stopping:
                self._signals.pause(SETTLE_S)
                self._beat()
                settled = self._doorbell.settled(self._engine.connection)
                # Also after the last of them has ended: that look finds its rows.
                self._drain()
            muted = self._doorbell.muted

    def _beat(self) -> None:
        now = time.monotonic()
        if now - self._beat_at >= self._options.heartbeat_s:
            self._beat_at = now
            if server_of(self._engine.connection) != self._server:
                # Queue ids, transaction numbers and bars of that one are others: begin again.
                raise psycopg.OperationalError("another server answers over the same connection")
            self._engine.refresh_model()
            self._engine.heartbeat(stopping=False)
            self._listener.renew()
            self._weigh()
        if now - self._reported_at >= _REPORT_S:
            self._report(now)

    def _report(self, now: float) -> None:
        done = asdict(self._engine.counters)
        since = {name: value - self._reported[name] for name, value in done.items()}
        logger.info(
            "the last %(seconds).0f s: %(scored)d scored, %(fallbacks)d fell back, %(failed)d failed, "
            "in %(batches)d batches with %(model)s",
            event(
                "minute",
                seconds=now - self._reported_at,
                model=self._engine.model.version if self._engine.model else None,
                **since,
            ),
        )
        self._reported_at, self._reported = now, done

    def _weigh(self) -> None:
        resident = resident_bytes()
        if resident is not None and resident > self._options.max_resident_bytes:
            logger.warning(
                "%(resident_mb)d MB resident, more than allowed: starting a fresh process",
                event("worker_too_heavy", resident_mb=resident // 2**20),
            )
            self.too_heavy = True
            self._signals.stop()

    def _connections(self) -> tuple[Listener, Connection]:
        # Listen before the first drain: a row that arrives in between rings, and costs one needless look at worst.
        with ExitStack() as undo:
            listener = Listener(lambda: self._connect("pattern-scoring listener"), self._signals)
            undo.callback(lambda: listener.connection.close())
            work = self._connect("pattern-scoring worker")
            undo.callback(work.close)
            schema.require(work)
            if is_pooled(work) and not listener.hears(work):
                logger.warning(
                    "the database is reached through a pooler that shares sessions, so the doorbell is not heard: "
                    "looking for rows every %(poll_interval_s)g s only; give the worker a direct connection",
                    event(
                        "doorbell_unheard",
                        poll_interval_s=min(self._options.poll_interval_s, self._options.heartbeat_s),
                    ),
                )
            undo.pop_all()
        return listener, work

    def _connect(self, name: str) -> Connection:
        return connect(
            self._url, application_name=name, autocommit=True, answer_timeout_s=self._options.answer_timeout_s
        )

    def _close_connections(self) -> None:
        for connection in (self._engine.connection, self._listener.connection):
            connection.close()
