"""How cost grows with the model: the trees of its forest, the features of its graph.

Each is trained by the pipeline as a data scientist would have it: another number of trees, or features of every family
taken out of the registry before anything is computed, so that graph, ensemble and baseline are of the rest alone.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Final
from unittest.mock import patch

import onnx

from bench import ensemble
from bench.drain import rate_of, timed
from bench.harness import Bench, Recorder, connect, store
from bench.inference import milliseconds, session
from demo.stages import ALGORITHMS
from training import export, features, learners
from training.dataset import Dataset
from training.pipeline import Artifact, train

TREES: Final = (30, 100, 300, 1_000)
FEATURES: Final = (14, 28, 56, len(features.FEATURES))
BATCHES: Final = (1, 256)
ROWS: Final = 10_000
_FIT_ON_EVERY: Final = 2
"""Rows of the market; a tree's size follows from shares of the rows, not from their number."""


def measure(bench: Bench, recorder: Recorder) -> None:
    with connect(bench.server.url("training")) as connection:
        dataset = ensemble.kept_dataset(connection)
    models = [("trees", n, _with_trees(dataset, n)) for n in TREES]
    models += [("features", n, _with_features(dataset, n)) for n in FEATURES]
    for kind, size, artifact in models:
        recorder.note(kind, size, "MB of the file", len(artifact.onnx) / 2**20)
        recorder.note(kind, size, "nodes", len(onnx.load_from_string(artifact.onnx).graph.node))
    for repeat in range(recorder.repeats):
        for kind, size, artifact in models:
            graph = session(artifact.onnx)
            for batch in BATCHES:
                given = {item.name: dataset.inputs[item.name][-batch:] for item in graph.get_inputs()}
                taken = milliseconds(lambda graph=graph, given=given: graph.run(None, given), 0.5 * recorder.scale)  # type: ignore[misc]
                recorder.note(kind, size, f"ms a call of {batch}", taken, repeat)
            recorder.note(kind, size, "rows/s", _drain_rate(bench, artifact, recorder.scaled(ROWS)), repeat)


def _with_trees(dataset: Dataset, trees: int) -> Artifact:
    def make() -> Artifact:
        with patch.object(learners, "TREES", trees):
            return _train(dataset, f"trees-{trees}")

    return ensemble.kept_model(f"trees-{trees}", make)


def _with_features(dataset: Dataset, count: int) -> Artifact:
    """Evenly taken from the list, so that each family is there."""
    if count == len(features.FEATURES):
        return _with_trees(dataset, learners.TREES)

    def make() -> Artifact:
        everything = features._REGISTERED
        chosen = tuple(everything[i * len(everything) // count] for i in range(count))
        with ExitStack() as stack:
            for name, value in {
                "_REGISTERED": chosen,
                "FEATURES": tuple(entry.feature for entry in chosen),
                "FEATURE_NAMES": tuple(entry.feature.name for entry in chosen),
            }.items():
                stack.enter_context(patch.object(features, name, value))
            # What is kept was traced with all of them.
            export._traced.cache_clear()
            stack.callback(export._traced.cache_clear)
            return _train(dataset, f"features-{count}")

    return ensemble.kept_model(f"features-{count}", make)


def _train(dataset: Dataset, version: str) -> Artifact:
    return train(dataset.take(slice(None, None, _FIT_ON_EVERY)), ALGORITHMS, version=f"bench-{version}")


def _drain_rate(bench: Bench, artifact: Artifact, rows: int) -> float:
    with bench.database() as url, connect(url) as connection:
        ensemble.make_champion(connection, artifact)
        store(connection, 1_000)
        with timed(url) as (engine, _):
            assert engine.model is not None
            assert engine.model.version == artifact.version
            rate_of(connection, engine)
            store(connection, rows)
            return rate_of(connection, engine)
