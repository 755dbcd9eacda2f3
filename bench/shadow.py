"""What challengers cost: a backlog drained by one engine with none, one and several, by turns.

They are the champion's own file under another name and score every row, so each costs what the champion's inference
costs, and the writing of its pairs, predictions and counts.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Final

import onnx

from bench.drain import rate_of, timed
from bench.harness import Bench, Recorder, connect, store
from db_functions.contract import META_MODEL_VERSION
from training.pipeline import Artifact
from training.registry import challenge, register

ROWS: Final = 20_000
WARM_UP: Final = 1_000
NUMBERS: Final = (0, 1, 2, 4)


def measure(bench: Bench, recorder: Recorder) -> None:
    rows = recorder.scaled(ROWS)
    recorder.note("challengers", "each", "rows waiting", rows)
    for repeat in range(recorder.repeats):
        for number in NUMBERS:
            recorder.note("challengers", number, "rows/s", _drain_rate(bench, number, rows), repeat)


def _drain_rate(bench: Bench, number: int, rows: int) -> float:
    with bench.database() as url, connect(url) as connection:
        for one in range(number):
            twin = _twin(bench.artifact, f"twin-{one}")
            register(connection, twin)
            challenge(connection, twin.version, "bench", share=1.0, canary=0.0)
        store(connection, WARM_UP)
        with timed(url) as (engine, _):
            rate_of(connection, engine)
            store(connection, rows)
            rate = rate_of(connection, engine)
        # Whatever the champion scored, each challenger did: no faster for having been set aside.
        found = connection.execute(
            "select (select count(*) from ml_internal.shadow_pairs), count(ml_confidence) from pattern_events"
        ).fetchone()
        assert found is not None
        assert found[0] == number * found[1], f"{found[0]} pairs for {found[1]} rows"
    return rate


def _twin(artifact: Artifact, version: str) -> Artifact:
    """The same graph under another name."""
    model = onnx.load_from_string(artifact.onnx)
    properties = {item.key: item.value for item in model.metadata_props} | {META_MODEL_VERSION: version}
    onnx.helper.set_model_props(model, properties)
    data = model.SerializeToString(deterministic=True)
    return replace(artifact, version=version, onnx=data, sha256=hashlib.sha256(data).hexdigest())
