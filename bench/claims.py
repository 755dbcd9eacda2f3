"""What a claim costs behind deep backlogs and held snapshots, ours and the peers', and how seldom the doorbell rings.

Ours claims every row, writes a fallback and deletes it in batches of 256, as the worker does without a model, with
low-water marks and without. A peer runs tasks that do nothing.
"""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from typing import Final

import psycopg

from bench.engine import NoMarks, drain
from bench.harness import Bench, drained, workers
from bench.latency import INSERT, insert_steadily
from bench.peers import PEERS, Peer, steady_rate
from bench.results import Recorder
from bench.server import Server, connect, upgrade
from db_functions.queries import fetch_value
from worker.serving.engine import Engine
from worker.serving.marks import Marks

SHALLOW: Final = 10_000
DEEP: Final = 1_000_000
SECONDS: Final = 4.0
RATE: Final = 1_000
OURS: Final = {"ours": Marks, "ours, no marks": NoMarks}
_AT_ONCE: Final = 50_000
_ROWS: Final = """
insert into pattern_events (symbol, timeframe, pattern_type, detected_at, confidence)
select 'ACME', '1d', 'double_bottom', '2024-05-01', 0.7 from generate_series(1, %s)
"""
_JOBS: Final = "select bench.defer(array_agg(gen_random_uuid())) from generate_series(1, %s)"


def measure(bench: Bench, recorder: Recorder) -> None:
    deep = recorder.scaled(DEEP)
    for name in (*OURS, *(peer.name for peer in PEERS)):
        for backlog, held in ((SHALLOW, False), (deep, False), (deep, True)):
            rate = rate_behind(bench.server, name, backlog, SECONDS, held=held)
            case = f"{backlog:,} waiting" + (", a snapshot held" if held else "")
            recorder.note(name, case, "no-op rows/s", rate)
    commits, rings = _rings(bench, RATE, 6.0 * recorder.scale)
    recorder.note("doorbell", f"{RATE}/s", "share of commits that ring", rings / commits)


def rate_behind(server: Server, name: str, backlog: int, seconds: float, *, held: bool) -> float:
    """Rows a second of a queue over a backlog of its own, ``held`` with a snapshot open since before it was loaded."""
    peer = next((peer for peer in PEERS if peer.name == name), None)
    with server.database() as url, ExitStack() as stack:
        if peer:
            peer.install(url)
        else:
            upgrade(url)
        if held:
            other = stack.enter_context(psycopg.connect(url))
            # Rows that die from now on are visible to this snapshot, so vacuum cannot remove them.
            other.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            other.execute("select")
        with connect(url) as connection:
            for first in range(0, backlog, _AT_ONCE):
                connection.execute(_JOBS if peer else _ROWS, [min(_AT_ONCE, backlog - first)])
            connection.execute("vacuum analyze")
            connection.execute("checkpoint")
        return _theirs(url, peer, seconds) if peer else _ours(url, OURS[name](), seconds)


def _ours(url: str, marks: Marks, seconds: float) -> float:
    with connect(url) as connection:
        engine = Engine(connection)
        engine.refresh_model()
        began = time.monotonic()
        return drain(engine, marks, seconds=seconds) / (time.monotonic() - began)


def _theirs(url: str, peer: Peer, seconds: float) -> float:
    done: list[float] = []
    peer.work(url, lambda _: done.append(time.monotonic()), stop_after_s=seconds)
    return steady_rate(done)


def _rings(bench: Bench, rate: int, seconds: float) -> tuple[int, int]:
    """Commits, and rings heard, at a steady rate of single-row inserts with one worker."""
    rings, stop = [0], threading.Event()
    with bench.database() as url, workers(url, 1):

        def listen() -> None:
            with connect(url) as listening:
                listening.execute(f"listen {fetch_value(listening, 'doorbell_channel')}".encode())
                while not stop.is_set():
                    rings[0] += sum(1 for _ in listening.notifies(timeout=0.2))

        listener = threading.Thread(target=listen)
        listener.start()
        time.sleep(0.3)
        commits = insert_steadily(url, INSERT, rate, seconds)
        with connect(url) as connection:
            drained(connection)
        time.sleep(0.5)
        stop.set()
        listener.join()
    return commits, rings[0]
