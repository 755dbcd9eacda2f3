"""The worker's life: listen first, drain until empty, wait for a ring or the poll interval, drain."""

from __future__ import annotations

import logging
import os
import random
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field

import psycopg

from db_functions.cage import resident_bytes
from db_functions.database import Connection, connect
from db_functions.errors import DatabaseUnavailable, InvalidUrl, SchemaOutdated, translated
from db_functions.model import first_line
from db_functions.queries import query
from worker import __version__
from worker.log import event
from worker.serving import probation, schema
from worker.serving.doorbell import PACE_S, SETTLE_S, Doorbell
from worker.serving.engine import BATCH, Engine, pooled
from worker.serving.listener import Listener, Signals
from worker.serving.marks import Marks
from worker.serving.upkeep import EVERY_S, Upkeep

logger = logging.getLogger(__name__)

ENVIRONMENT = ("ENABLE_PHASE5_ML", "ML_CONFIDENCE_THRESHOLD", "ML_CONFIDENCE_WEIGHT", "RULE_CONFIDENCE_WEIGHT")
_BACKOFF_FIRST_S, _BACKOFF_MOST_S = 0.1, 10.0
LOST = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.ReadOnlySqlTransaction,  # a standby, while a failover is under way
    DatabaseUnavailable,
)
"""What new connections may mend."""
_REPORT_S = 60.0


@dataclass(frozen=True, slots=True)
class Options:
    """How a worker runs. ``poll_interval_s`` bounds the wait for a row whose ring was never heard."""

    poll_interval_s: float = 1.0
    heartbeat_s: float = 5.0
    batch: int = BATCH
    max_resident_bytes: int = 2 * 2**30
    """A worker that has grown beyond this stops after its batch, for its caller to start afresh."""
    answer_timeout_s: float = 75.0
    """A connection on which the server does not answer for this long is lost; the server itself gives up after 60 s."""
    upkeep_s: Mapping[str, float] = field(default_factory=lambda: EVERY_S)
    """How often each task of upkeep is due."""
    give_up_after_s: float | None = None
    """End with the error after this long without a database; None: try for ever."""


def run(options: Options, signals: Signals, *, url: str | None = None, ready: Callable[[], None] | None = None) -> bool:
    """Score until ``signals`` says stop. Every lost connection is made again, with jittered backoff.

    Returns whether it stopped only because it had grown too large, and should be started afresh.
    """
    worker: _Worker | None = None
    delay, lost_at = _BACKOFF_FIRST_S, time.monotonic()
    while not signals.stopping:
        try:
            if worker is None:
                worker = _Worker(options, signals, url)
            else:
                worker.reconnect()
            delay = _BACKOFF_FIRST_S
            if ready is not None:
                ready()
            worker.work()
        except InvalidUrl:
            raise  # though it is a DatabaseUnavailable: no retry mends it
        except (*LOST, SchemaOutdated) as error:
            if delay == _BACKOFF_FIRST_S:
                lost_at = time.monotonic()
            if options.give_up_after_s is not None and time.monotonic() - lost_at > options.give_up_after_s:
                raise
            wait_s = delay * random.uniform(0.5, 1.5)  # noqa: S311  # jitter, not a secret
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
            delay = min(delay * 2, _BACKOFF_MOST_S)
            signals.pause(wait_s)
    if worker is None:
        return False
    worker.close()
    return worker.too_heavy


class _Worker:
    def __init__(self, options: Options, signals: Signals, url: str | None) -> None:
        self._options = options
        self._signals = signals
        self._url = url
        self._listener, work = self._connections()
        try:
            with translated():
                apply_environment(work)
                row = work.execute(
                    query("start_worker"),
                    {"host": socket.gethostname(), "pid": os.getpid(), "version": __version__, "kind": "worker"},
                ).fetchone()
            assert row is not None
            self._engine = Engine(work, row[0])
        except BaseException:
            for connection in (work, self._listener.connection):
                connection.close()
            raise
        self._marks = Marks()
        self._doorbell = Doorbell()
        self.too_heavy = False
        self._beat_at = -float("inf")
        self._upkeep = Upkeep(url, options.upkeep_s)
        self._upkeep.start()
        self._reported_at, self._reported = time.monotonic(), asdict(self._engine.counters)
        logger.info("worker %(worker)d started", event("worker_started", worker=row[0], version=__version__))

    def reconnect(self) -> None:
        """Whatever went wrong, two fresh connections are in a known state."""
        self._close_connections()
        self._listener, work = self._connections()
        self._engine.reconnected(work)
        # It may be another server, whose queue counts from somewhere else.
        self._marks, self._doorbell = Marks(), Doorbell()
        logger.info("database found again", event("database_found"))

    def work(self) -> None:
        self._engine.refresh_model()
        if self._engine.worker_id is not None and probation.unclean(self._engine.connection, self._engine.worker_id):
            logger.warning(
                "a worker of this host ended without goodbye: scoring the oldest rows one at a time first",
                event("probation"),
            )
            probation.serve(self._engine, self._listener.connection, self._signals)
        # Whoever was here before, a killed process or a lost connection, may have left the bell muted.
        self._settle(anew=True)
        while not self._signals.stopping:
            self._beat()
            self._drain()
            self._settle()
            if not self._signals.stopping:
                self._listener.wait(min(self._options.poll_interval_s, self._options.heartbeat_s))

    def close(self) -> None:
        """Say goodbye, if the database still listens."""
        self._upkeep.stop()
        try:
            self._engine.heartbeat(stopping=True)
        except psycopg.Error as error:
            logger.warning("no goodbye: %(error)s", event("goodbye_failed", error=first_line(error)))
        self._close_connections()
        logger.info("worker stopped after %(scored)d scores", event("worker_stopped", **asdict(self._engine.counters)))

    def _drain(self) -> None:
        """Score until a full look, from the proven mark on, finds nothing that somebody else has not claimed."""
        engine, marks = self._engine, self._marks
        # The last look before sleeping left the hot mark at the proven one: a ring finds its row with the first claim.
        full_look = marks.hot == marks.proven
        while not self._signals.stopping:
            self._signals.pause(self._doorbell.pace_s())
            done = engine.score_queue(self._options.batch, marks.hot)
            marks.claimed(engine.last_claimed)
            if done > 0:
                self._doorbell.claimed(engine.connection, done)
                # After the claim, so that the first row after a pause does not wait for a look.
                if full_look := marks.due():
                    marks.look_again(engine.connection)
                self._beat()
            elif engine.last_claimed:
                # An application has all of them locked: on to what lies behind, and to them with the next full look.
                continue
            elif full_look and self._doorbell.lingers():
                self._signals.pause(PACE_S)
            elif full_look:
                return
            else:
                marks.look_again(engine.connection)
                full_look = True

    def _settle(self, *, anew: bool = False) -> None:
        """Before sleeping: ring free again, and wait for whoever may have found the bell muted."""
        while (anew or self._doorbell.muted) and not self._signals.stopping:
            anew = False
            self._doorbell.release(self._engine.connection)
            settled = False
            while not settled and not self._signals.stopping:
                self._signals.pause(SETTLE_S)
                self._beat()  # a long transaction of somebody's can make this last
                settled = self._doorbell.settled(self._engine.connection)
                # Also after the last of them has ended: that is the look that finds its rows.
                self._drain()

    def _beat(self) -> None:
        now = time.monotonic()
        if now - self._beat_at >= self._options.heartbeat_s:
            self._beat_at = now
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
                "%(resident_mb)d MB resident, more than allowed: starting afresh",
                event("worker_too_heavy", resident_mb=resident // 2**20),
            )
            self.too_heavy = True
            self._signals.stop()

    def _connections(self) -> tuple[Listener, Connection]:
        # Listen before the first drain: a row that comes in between rings, and is drained twice at worst.
        with ExitStack() as undo:
            listening = self._connect("pattern-scoring listener")
            undo.callback(listening.close)
            listener = Listener(listening, self._signals)
            work = self._connect("pattern-scoring worker")
            undo.callback(work.close)
            schema.require(work)
            if pooled(work) and not listener.hears(work):
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


def apply_environment(connection: Connection) -> None:
    """Take the four variables that operators of the earlier system set; one that has not changed is left alone."""
    for name in ENVIRONMENT:
        value = os.environ.get(name, "").strip()
        if not value:
            continue
        row = connection.execute(query("apply_environment"), {"name": name, "value": value}).fetchone()
        if row is not None and row[0]:
            logger.warning(
                "setting taken from the environment: %(variable)s=%(value)s",
                event("setting_from_environment", variable=name, value=value),
            )
