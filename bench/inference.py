"""What the graph costs beside scikit-learn and NumPy: inference and features, at several batch sizes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from bench import ensemble
from bench.harness import Bench
from bench.results import Recorder
from bench.server import connect
from training import blocks
from training import features as feature_code
from training.correction import TARGET, Rows
from training.estimation import fit_ensemble
from training.export import to_float32
from training.features.graph import to_model
from training.learners import FittedEnsemble, Recipe
from training.prepare import compute_features
from training.split import split_by_time

BATCHES: Final = (1, 64, 1_024)
GRAPH: Final = "the whole graph, features included"
SKLEARN: Final = "scikit-learn predict_proba, features given, one thread"
ALL_CORES: Final = "scikit-learn predict_proba, features given, n_jobs = -1"
FEATURE_GRAPH: Final = "features by the graph"
NUMPY: Final = "features by NumPy"


def measure(bench: Bench, recorder: Recorder) -> None:
    with connect(bench.server.url("training")) as connection:
        dataset = ensemble.kept_dataset(connection)
    features = to_float32(compute_features(dataset)).astype(np.float64)
    defined = np.isfinite(features[:, TARGET])
    dataset, features = dataset.take(defined), features[defined]
    split = split_by_time(dataset)
    known = Rows(features, dataset.outcome, blocks.uniqueness(dataset)).take(split.fit)
    fitted = fit_ensemble(known, Recipe(ensemble.ALGORITHMS))
    rows = split.test[np.arange(max(BATCHES)) % len(split.test)]
    graph, feature_graph = _session(bench.artifact.onnx), _session(to_model(dataset.horizon).SerializeToString())
    for repeat in range(recorder.repeats):
        for batch in BATCHES:
            part = rows[:batch]
            inputs = {name: values[part] for name, values in dataset.inputs.items()}
            runs: dict[str, Callable[[], Any]] = {
                GRAPH: _call(graph, inputs),
                SKLEARN: lambda part=part: fitted.correction(features[part]),  # type: ignore[misc]
                ALL_CORES: lambda part=part: _on_all_cores(fitted, features[part]),  # type: ignore[misc]
                FEATURE_GRAPH: _call(feature_graph, inputs),
                NUMPY: lambda inputs=inputs: feature_code.compute(inputs, np, dataset.horizon),  # type: ignore[misc]
            }
            for subject, run in runs.items():
                recorder.note(subject, batch, "ms", _milliseconds(run, 0.5 * recorder.scale), repeat)


def _on_all_cores(fitted: FittedEnsemble, features: NDArray[np.float64]) -> None:
    """As a service does that loads the estimator as it was fitted."""
    forests = [member.estimator for member in fitted.members if hasattr(member.estimator, "n_jobs")]
    for forest in forests:
        forest.n_jobs = -1
    fitted.correction(features)
    for forest in forests:
        forest.n_jobs = 1


def _milliseconds(run: Callable[[], Any], seconds: float) -> float:
    """Median of one call."""
    run()
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while len(taken) < 3 or time.perf_counter() < end:
        began = time.perf_counter()
        run()
        taken.append(time.perf_counter() - began)
    return float(np.median(taken)) * 1000


def _session(data: bytes) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def _call(session: ort.InferenceSession, inputs: dict[str, Any]) -> Callable[[], Any]:
    given = {item.name: inputs[item.name] for item in session.get_inputs()}
    return lambda: session.run(None, given)
