"""What the graph costs beside scikit-learn and NumPy and TA-Lib: inference and features, at several batch sizes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from bench import ensemble
from bench.demo import ALGORITHMS
from bench.harness import Bench, Recorder, connect
from db_functions.contract import DEFAULT_HORIZON
from tests.features_oracle import BY_TALIB, Row
from training import features as feature_code
from training.features.graph import to_model
from training.learners import FittedEnsemble, fit_ensemble
from training.pipeline import compute_features
from training.split import split_by_time

BATCHES: Final = (1, 64, 1_024)
GRAPH: Final = "the whole graph, features included"
SKLEARN: Final = "scikit-learn predict_proba, features given, one thread"
ALL_CORES: Final = "scikit-learn predict_proba, features given, n_jobs = -1"
FEATURE_GRAPH: Final = "features by the graph"
NUMPY: Final = "features by NumPy"
TALIB: Final = f"{len(BY_TALIB)} indicators by TA-Lib, row by row"


def measure(bench: Bench, recorder: Recorder) -> None:
    with connect(bench.server.url("training")) as connection:
        dataset = ensemble.kept_dataset(connection)
    split = split_by_time(dataset)
    features = compute_features(dataset)
    fitted = fit_ensemble(features[split.fit], dataset.outcome[split.fit], ALGORITHMS, seed=0)
    rows = split.test[np.arange(max(BATCHES)) % len(split.test)]
    graph, feature_graph = session(bench.artifact.onnx), session(to_model(DEFAULT_HORIZON).SerializeToString())
    names, feature_names = ([item.name for item in session.get_inputs()] for session in (graph, feature_graph))
    for repeat in range(recorder.repeats):
        for batch in BATCHES:
            part = rows[:batch]
            inputs = {name: values[part] for name, values in dataset.inputs.items()}
            given = {name: inputs[name] for name in names}
            feature_inputs = {name: inputs[name] for name in feature_names}
            runs: dict[str, Callable[[], Any]] = {
                GRAPH: lambda given=given: graph.run(None, given),  # type: ignore[misc]
                SKLEARN: lambda part=part: fitted.probabilities(features[part]),  # type: ignore[misc]
                ALL_CORES: lambda part=part: _on_all_cores(fitted, features[part]),  # type: ignore[misc]
                FEATURE_GRAPH: lambda given=feature_inputs: feature_graph.run(None, given),  # type: ignore[misc]
                NUMPY: lambda inputs=inputs: feature_code.compute(inputs, np, DEFAULT_HORIZON),  # type: ignore[misc]
                TALIB: lambda inputs=inputs, batch=batch: _by_talib(inputs, batch),  # type: ignore[misc]
            }
            for subject, run in runs.items():
                recorder.note(subject, batch, "ms", milliseconds(run, 0.5 * recorder.scale), repeat)


def _on_all_cores(fitted: FittedEnsemble, features: NDArray[np.float64]) -> None:
    """As a service does that loads the estimator as it was fitted."""
    forests = [member.estimator for member in fitted.members if hasattr(member.estimator, "n_jobs")]
    for forest in forests:
        forest.n_jobs = -1
    fitted.probabilities(features)
    for forest in forests:
        forest.n_jobs = 1


def _by_talib(inputs: Any, batch: int) -> None:
    for i in range(batch):
        row = Row(inputs, i)
        for indicator in BY_TALIB.values():
            indicator(row)


def milliseconds(run: Callable[[], Any], seconds: float) -> float:
    """Median of one call."""
    run()
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while len(taken) < 3 or time.perf_counter() < end:
        began = time.perf_counter()
        run()
        taken.append(time.perf_counter() - began)
    return float(np.median(taken)) * 1000


def session(data: bytes) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
