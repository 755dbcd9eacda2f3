"""From insert to score: single rows at a steady rate, the full ensemble, beside peers that do the same work.

A row's latency is the moment at which the transaction that scored it committed (``track_commit_timestamp``), less the
moment at which the one that inserted it began: the same two for everybody, by the server's clock.
"""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Final

from bench.harness import COLUMNS, Bench, Recorder, connect, quantiles, workers
from bench.tasks import PEERS, install, poll_every_second, work_with_peer

RATES: Final = {1: 10.0, 50: 6.0, 500: 5.0}
"""Seconds at each rate."""
OURS: Final = "ours"
POLLER: Final = "a poller, every second"
_INSERT: Final = (
    f"insert into pattern_events ({COLUMNS}) select {COLUMNS} from bench.patterns where n = %s returning id"
)
_DEFER: Final = f"with i as ({_INSERT}) select bench.defer(array_agg(id)) from i"
_LATENCIES: Final = """
select extract(epoch from pg_xact_commit_timestamp(xmin) - created_at)::float8 * 1000
from pattern_events where scored_at is not null and pg_xact_commit_timestamp(xmin) >= created_at
"""


def measure(bench: Bench, recorder: Recorder) -> None:
    for repeat in range(recorder.repeats):
        for rate, seconds in RATES.items():
            for subject in (OURS, POLLER, *PEERS):
                seconds_now = max(3.0, seconds * recorder.scale)
                found, sent = _run(bench, subject, rate, seconds_now)
                if found:
                    p50, p99 = quantiles(found)
                    recorder.note(subject, f"{rate}/s", "p50 ms", p50, repeat)
                    recorder.note(subject, f"{rate}/s", "p99 ms", p99, repeat)
                recorder.note(subject, f"{rate}/s", "scored of inserted", len(found) / sent, repeat)


def _run(bench: Bench, subject: str, rate: int, seconds: float) -> tuple[list[float], int]:
    with bench.database() as url, ExitStack() as stack:
        statement = _INSERT
        if subject == OURS:
            stack.enter_context(workers(url, 1))
        elif subject == POLLER:
            stack.enter_context(_process(poll_every_second, url, seconds + 4))
        else:
            install(url, subject)
            statement = _DEFER
            stack.enter_context(_process(work_with_peer, url, subject, seconds + 4))
        insert_steadily(url, statement, rate, 1.0)
        with connect(url) as connection:
            connection.execute("create table bench.before as select id from pattern_events")
            insert_steadily(url, statement, rate, seconds)
            time.sleep(1.5)
            found = connection.execute(f"{_LATENCIES} and id not in (select id from bench.before)").fetchall()
        return [ms for (ms,) in found], max(1, int(rate * seconds))


class _process(ExitStack):  # noqa: N801  # reads as a context manager
    """A process of its own, ready; ended afterwards."""

    def __init__(self, target: Callable[..., None], *arguments: Any) -> None:
        super().__init__()
        context = multiprocessing.get_context("spawn")
        ready = context.Event()
        process = context.Process(target=target, args=(*arguments, ready), daemon=True)
        process.start()
        self.callback(process.join, 10)
        self.callback(process.terminate)
        if not ready.wait(60):
            raise TimeoutError("the peer's worker did not start")


def insert_steadily(url: str, statement: str, rate: int, seconds: float) -> None:
    """Single rows at ``rate`` a second, each a transaction, from as many connections as it takes."""
    writers = 1 if rate <= 100 else 4
    total = max(1, int(rate * seconds))

    def write(first: int) -> None:
        with connect(url) as connection:
            began = time.monotonic()
            for number in range(first, total, writers):
                time.sleep(max(0.0, began + number / rate - time.monotonic()))
                connection.execute(statement, [1 + number * 7 % 4_000])

    threads = [threading.Thread(target=write, args=(first,)) for first in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
