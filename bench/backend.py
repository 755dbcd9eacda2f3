"""The model called in the backend by PL/Python beside a worker, on one server: who waits, and in how much memory.

Only where Debian's PostgreSQL 15 and its ``postgresql-plpython3-15`` are installed, and its Python can load what this
one has. The trigger must give the worker's scores, to a millionth, before anything is timed.
"""

from __future__ import annotations

import math
import sys
import sysconfig
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import numpy as np

from bench.harness import Bench, Recorder, connect, quantiles, workers
from bench.harness import bench as started
from bench.latency import _INSERT, _LATENCIES
from db_functions.database import Connection
from tests.servers import DEBIAN_BIN
from worker.serving.engine import Engine

OURS: Final = "ours, a worker"
BACKEND: Final = "PL/Python trigger"
RATES: Final = {1: 10.0, 50: 6.0, 500: 5.0}
"""Seconds at each rate."""
COMPARED: Final = 500
TOLERANCE: Final = 1e-6
_ROOT: Final = Path(__file__).parent.parent
_CONTROL: Final = Path("/usr/share/postgresql/15/extension/plpython3u.control")
_TRIGGER: Final = f"""
create extension plpython3u;
create function bench.score_in_backend() returns trigger language plpython3u as $$
    if "scorer" not in GD:
        import sys
        sys.path[:0] = [{str(_ROOT)!r}, {sysconfig.get_path("purelib")!r}]
        from bench.in_backend import Scorer
        GD["scorer"] = Scorer(plpy)
    return GD["scorer"].score(TD["new"])
$$;
alter table pattern_events disable trigger ml_enqueue;
-- After intake, by its name, which has filled what the client left out.
create trigger z_score before insert on pattern_events for each row execute function bench.score_in_backend()
"""


def measure(_bench: Bench, recorder: Recorder) -> None:
    fault = missing()
    recorder.note(BACKEND, "here", "installed", not fault)
    if fault:
        print(f"  backend: {fault}", flush=True)
        return
    with started("debian15") as bench:
        recorder.note(BACKEND, "scores", "largest difference", _difference(bench))
        for repeat in range(recorder.repeats):
            for rate, seconds in RATES.items():
                for subject in (OURS, BACKEND):
                    _run(bench, recorder, subject, rate, max(3.0, seconds * recorder.scale), repeat)


def missing() -> str:
    """What is not installed; empty where everything is."""
    if not (DEBIAN_BIN.exists() and _CONTROL.exists()):
        return "postgresql-plpython3-15 is not installed"
    library = next(Path("/usr/lib/postgresql/15/lib").glob("plpython3.so"), None)
    wanted = f"libpython3.{sys.version_info.minor}".encode()
    if library is None or wanted not in library.read_bytes():
        return f"PL/Python of PostgreSQL 15 is not of Python 3.{sys.version_info.minor}, for which packages are here"
    return ""


def _difference(bench: Bench) -> float:
    """Between the worker's and the trigger's score of the same rows; raises AssertionError when it is too large."""
    with bench.database() as url, connect(url) as connection:
        _insert_each(connection)
        engine = Engine(connection)
        engine.refresh_model()
        while engine.score_queue().done:
            pass
        expected = _scores(connection)
        connection.execute("truncate pattern_events cascade")
        connection.execute(_TRIGGER)
        _insert_each(connection)
        given = _scores(connection)
    assert len(expected) == COMPARED
    assert given.keys() == expected.keys()
    # A fallback is none to both.
    assert [row for row in given if math.isnan(given[row])] == [row for row in expected if math.isnan(expected[row])]
    largest = float(np.nanmax([abs(given[row] - score) for row, score in expected.items()]))
    assert largest <= TOLERANCE, f"the trigger's scores are off by {largest:g}"
    return largest


def _insert_each(connection: Connection) -> None:
    for number in range(1, COMPARED + 1):
        connection.execute(_INSERT, [number])


def _scores(connection: Connection) -> dict[tuple[object, ...], float]:
    """By what tells one row from another; NaN for a fallback."""
    rows = connection.execute(
        "select coalesce(ml_confidence, 'NaN'), symbol, pattern_type, detected_at, entry from pattern_events "
        "order by 2, 3, 4, 5"
    ).fetchall()
    return {row[1:]: row[0] for row in rows}


def _run(bench: Bench, recorder: Recorder, subject: str, rate: int, seconds: float, repeat: int) -> None:
    case = f"{rate}/s"
    with bench.database() as url, ExitStack() as stack:
        connection = stack.enter_context(connect(url))
        writers = stack.enter_context(_writers(url, 1 if rate <= 100 else 4))
        fleet = None
        if subject == OURS:
            fleet = stack.enter_context(workers(url, 1))
        else:
            connection.execute(_TRIGGER)
        firsts = [steadily([writer], 1, 1.0)[0] for writer in writers]
        steadily(writers, rate, 1.0)
        connection.execute("create table bench.before as select id from pattern_events")
        began = time.monotonic()
        trips = steadily(writers, rate, seconds)
        took = time.monotonic() - began
        time.sleep(1.5)
        found = [
            ms for (ms,) in connection.execute(f"{_LATENCIES} and id not in (select id from bench.before)").fetchall()
        ]
        scored = len(found) / len(trips)
        if subject == BACKEND:
            # Nobody sees the score before the application's own commit is on disk.
            found = trips
        memory = [private_mb(writer.info.backend_pid) for writer in writers]
        if fleet is not None:
            recorder.note(subject, case, "MB of the worker", sum(private_mb(pid) for pid in fleet.pids()), repeat)
    for name, values in (("insert to score", found), ("statement", trips)):
        p50, p99 = quantiles(values)
        recorder.note(subject, case, f"{name} p50 ms", p50, repeat)
        recorder.note(subject, case, f"{name} p99 ms", p99, repeat)
    recorder.note(subject, case, "rows/s reached", len(trips) / took, repeat)
    recorder.note(subject, case, "scored of inserted", scored, repeat)
    recorder.note(subject, case, "first statement ms", max(firsts), repeat)
    recorder.note(subject, case, "MB a connection", max(memory), repeat)


@contextmanager
def _writers(url: str, number: int) -> Iterator[list[Connection]]:
    with ExitStack() as stack:
        yield [stack.enter_context(connect(url)) for _ in range(number)]


def steadily(writers: Sequence[Connection], rate: int, seconds: float) -> list[float]:
    """Single rows at ``rate`` a second in all, each a transaction; the client's round trips in milliseconds."""
    total = max(1, int(rate * seconds))
    trips: list[float] = []

    def write(first: int) -> None:
        began = time.monotonic()
        for number in range(first, total, len(writers)):
            time.sleep(max(0.0, began + number / rate - time.monotonic()))
            sent = time.perf_counter()
            writers[first].execute(_INSERT, [1 + number * 7 % 4_000])
            trips.append((time.perf_counter() - sent) * 1000)

    threads = [threading.Thread(target=write, args=(first,)) for first in range(len(writers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return trips


def private_mb(pid: int) -> float:
    """Memory that a process shares with nobody."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024
