"""Training by stage: labelled rows to a registered model, time and memory."""

from __future__ import annotations

import multiprocessing
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from typing import Final

import numpy as np

from bench import ensemble
from bench.demo import ALGORITHMS
from bench.harness import Bench, Recorder, connect
from training import pipeline
from training.dataset import Dataset
from training.load import load_labelled
from training.registry import register

ROWS: Final = 5_000
LEAST: Final = 2_000
"""Fewer are refused."""


def measure(bench: Bench, recorder: Recorder) -> None:
    rows = max(LEAST, recorder.scaled(ROWS))
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        taken = pool.submit(_train, bench.server.url("training"), rows).result()
    for stage, seconds, megabytes in taken:
        recorder.note(stage, rows, "s", seconds)
        recorder.note(stage, rows, "MB at most", megabytes)


class _Stages:
    """In place of the pipeline's own display: when each stage ended, and how large the process was at most by then."""

    taken: Final[list[tuple[str, float, float]]] = []

    def __init__(self, _total: int, *, shown: bool) -> None:  # noqa: ARG002
        self._name = ""

    def __enter__(self) -> _Stages:
        return self

    def __call__(self, name: str) -> None:
        self._end()
        self._name, self._began = name, time.monotonic()

    def __exit__(self, *_: object) -> None:
        self._end()

    def _end(self) -> None:
        if self._name:
            self.taken.append((self._name, time.monotonic() - self._began, _most_mb()))


def _train(url: str, rows: int) -> list[tuple[str, float, float]]:
    setattr(pipeline, "Stages", _Stages)  # noqa: B010  # a name that the pipeline imports, and mypy does not see
    with connect(url) as connection:
        ensemble.kept_dataset(connection)
        if connection.execute("select count(*) from pattern_events").fetchone() == (0,):
            ensemble.insert_market(connection, patterns=True)
            connection.execute("select ml.label_outcomes(null)")
        began = time.monotonic()
        dataset = load_labelled(connection)
        _Stages.taken.append(("load", time.monotonic() - began, _most_mb()))
        artifact = pipeline.train(_as_many(dataset, rows), ALGORITHMS, version="bench-stages")
        began = time.monotonic()
        register(connection, artifact)
        _Stages.taken.append(("register", time.monotonic() - began, _most_mb()))
    return _Stages.taken


def _as_many(dataset: Dataset, rows: int) -> Dataset:
    """``rows`` rows in time order; the market's own over and over when it has fewer."""
    return dataset.take(np.sort(np.arange(rows) % len(dataset)))


def _most_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
