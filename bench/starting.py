"""How long a worker takes to its first score, and how long a row waits at most while the champion is swapped.

The worker has a login of its own with the role ``ml_worker``, and its modules are compiled, as after any installation.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from dataclasses import replace
from typing import Final

import onnx
from psycopg.conninfo import make_conninfo

from bench.harness import Bench, drained, enqueue, store, worker_environment, workers
from bench.latency import INSERT, LATENCIES, insert_steadily
from bench.results import Recorder
from bench.server import connect
from db_functions.contract import META_MODEL_VERSION
from db_functions.database import Connection
from training.pipeline import Artifact
from training.registry import promote, register

STARTS: Final = 5
FIRST: Final = "the first worker with this model"
AGAIN: Final = "a worker that starts again"
IMPORTS: Final = "Python, NumPy, ONNX Runtime and psycopg alone"
STEADY: Final = "one champion"
SWAP: Final = "a promotion in the middle"
PER_S: Final = 50
_LASTS_S: Final = 6.0
_LOGIN: Final = "bench_worker"
_IMPORT: Final = "import numpy, onnxruntime, psycopg"


def measure(bench: Bench, recorder: Recorder) -> None:
    for repeat in range(recorder.repeats):
        with bench.database() as url, connect(url) as connection:
            worker_url = _login(connection, url)
            for number in range(1 + recorder.scaled(STARTS)):
                recorder.note(
                    FIRST if number == 0 else AGAIN, "quiet", "s", _first_score(connection, worker_url), repeat
                )
                recorder.note(IMPORTS, "quiet", "s", _imports(), repeat)
        for name in (STEADY, SWAP):
            recorder.note(name, f"{PER_S}/s", "ms at most", _longest_wait(bench, swapped=name == SWAP), repeat)


def _login(connection: Connection, url: str) -> str:
    connection.execute(
        f"do $$ begin create role {_LOGIN} login in role ml_worker; exception when duplicate_object then null; end $$"
    )
    return make_conninfo(url, user=_LOGIN)


def _first_score(connection: Connection, url: str) -> float:
    """Seconds from the start of the process until the row that waits has its score."""
    store(connection, 1)
    enqueue(connection)
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "worker", "run"],
        env={**worker_environment(), "DATABASE_URL": url},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        drained(connection)
        return time.perf_counter() - began
    finally:
        process.terminate()
        process.wait(15)


def _imports() -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", _IMPORT], env=worker_environment(), check=True)
    return time.perf_counter() - began


def _longest_wait(bench: Bench, *, swapped: bool) -> float:
    """Milliseconds, of rows at a steady rate."""
    with bench.database() as url, connect(url) as connection:
        register(connection, _another(bench.artifact))
        with workers(url, 1):
            insert_steadily(url, INSERT, PER_S, 1.0)
            connection.execute("create table bench.before as select id from pattern_events")
            writer = threading.Thread(target=insert_steadily, args=(url, INSERT, PER_S, _LASTS_S))
            writer.start()
            time.sleep(_LASTS_S / 4)
            if swapped:
                promote(connection, f"{bench.artifact.version}-b", "bench", force=True)
            writer.join()
            drained(connection)
        if swapped:
            served = connection.execute("select count(distinct model_version) from pattern_events").fetchone()
            assert served == (2,), "both have served"
        return max(float(ms) for (ms,) in connection.execute(LATENCIES, [False]).fetchall())


def _another(artifact: Artifact) -> Artifact:
    """The same graph as another file, which has to be read, tried and loaded as any new model."""
    model = onnx.load_from_string(artifact.onnx)
    entry = next(entry for entry in model.metadata_props if entry.key == META_MODEL_VERSION)
    entry.value = f"{artifact.version}-b"
    return replace(artifact, version=entry.value, onnx=model.SerializeToString())
