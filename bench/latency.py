"""From insert to score: single rows at a steady rate, beside peers that do the same work.

A row's latency runs from the begin of the transaction that inserted it to the commit of the one that scored it
(``track_commit_timestamp``), for every subject the same, by the server's clock. The application's own insert and
commit, with nobody scoring, is measured in the same run. A network lies between worker and database in some cases: a
proxy that holds back everything for half its round trip, each way.
"""

from __future__ import annotations

import multiprocessing
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Final

from bench.harness import COLUMNS, PATTERNS, Bench, workers
from bench.network import far
from bench.peers import PEERS, Peer, poll_every_second, work_with_peer
from bench.results import Recorder
from bench.server import connect

RATES: Final = {1: 10.0, 50: 6.0, 500: 5.0}
"""Seconds at each rate."""
NETWORKS: Final = {0: "50/s", 1: "50/s, 1 ms", 5: "50/s, 5 ms"}
"""Milliseconds of a round trip between worker and database, and the name of that case."""
OURS: Final = "ours"
BARE: Final = "the insert and its commit"
POLLER: Final = "a poller, every second"
INSERT: Final = f"insert into pattern_events ({COLUMNS}) select {COLUMNS} from bench.patterns where n = %s returning id"
_DEFER: Final = f"with i as ({INSERT}) select bench.defer(array_agg(id)) from i"
LATENCIES: Final = """
select extract(epoch from pg_xact_commit_timestamp(p.xmin) - p.created_at)::float8 * 1000
from pattern_events p where (p.scored_at is not null or %s) and pg_xact_commit_timestamp(p.xmin) >= p.created_at
and not exists (select from bench.before b where b.id = p.id)
"""


def measure(bench: Bench, recorder: Recorder) -> None:
    for repeat in range(recorder.repeats):
        for rate, seconds in RATES.items():
            for subject in (BARE, OURS, POLLER, *PEERS):
                _note(bench, recorder, subject, rate, seconds, repeat)
        for network_ms in filter(None, NETWORKS):
            for subject in (OURS, *PEERS):
                _note(bench, recorder, subject, 50, RATES[50], repeat, network_ms)


def _note(
    bench: Bench, recorder: Recorder, subject: str | Peer, rate: int, seconds: float, repeat: int, network_ms: int = 0
) -> None:
    name = subject.name if isinstance(subject, Peer) else subject
    case = NETWORKS[network_ms] if network_ms else f"{rate}/s"
    found, sent = _latencies(bench, subject, rate, max(3.0, seconds * recorder.scale), network_ms)
    if found:
        p50, p99 = quantiles(found)
        recorder.note(name, case, "p50 ms", p50, repeat)
        recorder.note(name, case, "p99 ms", p99, repeat)
    recorder.note(name, case, "scored of inserted", len(found) / sent, repeat)


def _latencies(
    bench: Bench, subject: str | Peer, rate: int, seconds: float, network_ms: int
) -> tuple[list[float], int]:
    """Milliseconds of each scored row, and how many rows were inserted."""
    with bench.database() as url, far(url, network_ms) as its_url:
        statement = INSERT
        if isinstance(subject, Peer):
            subject.install(url)
            with connect(url) as connection:
                connection.execute("alter table pattern_events disable trigger ml_enqueue")
            statement = _DEFER
        with _service(its_url, subject, seconds + 4):
            insert_steadily(url, statement, rate, 1.0)
            with connect(url) as connection:
                connection.execute("create table bench.before as select id from pattern_events")
                insert_steadily(url, statement, rate, seconds)
                time.sleep(1.5)
                found = connection.execute(LATENCIES, [subject == BARE]).fetchall()
        return [ms for (ms,) in found], max(1, int(rate * seconds))


def _service(url: str, subject: str | Peer, seconds: float) -> AbstractContextManager[None]:
    """What scores the rows, ready."""
    if subject == BARE:
        return nullcontext()
    if isinstance(subject, Peer):
        return _process(work_with_peer, url, subject, seconds)
    return workers(url, 1) if subject == OURS else _process(poll_every_second, url, seconds)


@contextmanager
def _process(target: Callable[..., None], *arguments: Any) -> Iterator[None]:
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=target, args=(*arguments, ready), daemon=True)
    process.start()
    try:
        if not ready.wait(60):
            raise TimeoutError("the peer's worker did not start")
        yield
    finally:
        process.terminate()
        process.join(10)


def insert_steadily(url: str, statement: str, rate: int, seconds: float) -> int:
    """Single rows at ``rate`` a second, each a transaction, over one connection or four; returns how many."""
    writers = 1 if rate <= 100 else 4
    total = max(1, int(rate * seconds))

    def write(first: int) -> None:
        with connect(url) as connection:
            began = time.monotonic()
            for number in range(first, total, writers):
                time.sleep(max(0.0, began + number / rate - time.monotonic()))
                connection.execute(statement, [1 + number * 7 % PATTERNS])

    threads = [threading.Thread(target=write, args=(first,)) for first in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return total


def quantiles(values: Sequence[float]) -> tuple[float, float]:
    """The median and the 99th percentile."""
    ordered = sorted(values)
    return statistics.median(ordered), ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
