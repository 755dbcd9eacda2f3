"""Cold start of a worker to its first score; the longest wait of a row while the champion is swapped under load."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import Final

import onnx

from bench.ensemble import make_champion
from bench.harness import Bench, Recorder, connect, enqueue, store, wait_until, workers
from bench.latency import _INSERT, _LATENCIES, insert_steadily
from db_functions.contract import META_MODEL_VERSION
from tests.faults.fleet import Fleet
from training.pipeline import Artifact

RATE: Final = 50
SECONDS: Final = 8.0


def measure(bench: Bench, recorder: Recorder) -> None:
    other = twin(bench.artifact)
    for repeat in range(recorder.repeats):
        with bench.database() as url, connect(url) as connection:
            store(connection, 1)
            enqueue(connection)
            began = time.monotonic()
            fleet = Fleet([url])
            wait_until(lambda: connection.execute("select from ml.queue").fetchone() is None, 60)
            recorder.note("cold start", "first score", "s", time.monotonic() - began, repeat)
            fleet.stop()
            fleet.forget()
        with bench.database() as url, connect(url) as connection, workers(url, 1):
            insert_steadily(url, _INSERT, RATE, 1.0)
            load = threading.Thread(target=insert_steadily, args=(url, _INSERT, RATE, SECONDS))
            load.start()
            time.sleep(SECONDS / 2)
            make_champion(connection, other)
            load.join()
            time.sleep(1.5)
            waits = sorted(ms for (ms,) in connection.execute(_LATENCIES).fetchall())
            recorder.note("swap of the champion", f"{RATE}/s", "longest wait ms", waits[-1], repeat)
            recorder.note("swap of the champion", f"{RATE}/s", "p50 ms", waits[len(waits) // 2], repeat)


def twin(artifact: Artifact) -> Artifact:
    """The same model under another name."""
    proto = onnx.load_from_string(artifact.onnx)
    version = f"{artifact.version}-twin"
    onnx.helper.set_model_props(proto, {**{p.key: p.value for p in proto.metadata_props}, META_MODEL_VERSION: version})
    return replace(artifact, version=version, onnx=proto.SerializeToString())
