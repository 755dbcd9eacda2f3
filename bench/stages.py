"""Training by stage: labelled rows to a registered model, time and memory."""

from __future__ import annotations

import multiprocessing
import os
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from typing import Any, Final, NamedTuple

from bench import ensemble
from bench.harness import Bench, unwatched_bars
from bench.results import Recorder
from bench.server import connect
from db_functions.database import Connection
from training import pipeline
from training.prepare import load_prepared
from training.registry import register

ROWS: Final = 100_000
LEAST: Final = 2_000
"""Training refuses fewer rows."""
_PER_MARKET: Final = 5_500
"""Labelled rows of the market, at least."""
_MORE_BARS: Final = """
insert into price_bars
select b.symbol || '-' || c, b.timeframe, b.ts, b.open * f, b.high * f, b.low * f, b.close * f, b.volume
from price_bars b, generate_series(1, %(copies)s::integer) c,
     lateral (select exp(0.1 * sin(extract(epoch from b.ts)::float8 / 86400 / (7 + c)))) w (f)
where b.symbol in (select symbol from pattern_events)
"""
_MORE_PATTERNS: Final = """
insert into pattern_events (symbol, timeframe, pattern_type, detected_at, started_at, support, resistance, target,
                            entry, stoploss, confidence, metadata)
select p.symbol || '-' || c, p.timeframe, p.pattern_type, p.detected_at, p.started_at, p.support * f, p.resistance * f,
       p.target * f, p.entry * f, p.stoploss * f, p.rule_confidence, p.metadata
from pattern_events p, generate_series(1, %(copies)s::integer) c,
     lateral (select exp(0.1 * sin(extract(epoch from p.detected_at)::float8 / 86400 / (7 + c)))) w (f)
"""


class Stage(NamedTuple):
    """``megabytes``: the largest the process had been when the stage ended, features mapped from disk included."""

    name: str
    seconds: float
    megabytes: float


def measure(bench: Bench, recorder: Recorder) -> None:
    rows = max(LEAST, recorder.scaled(ROWS))
    with bench.database() as url, connect(url) as connection:
        make_markets(connection, -(-rows // _PER_MARKET) - 1)
        began = time.monotonic()
        labelled = connection.execute("select ml.label_outcomes(null)").fetchone()
        assert labelled is not None
        assert labelled[0] >= rows, f"{labelled[0]} labelled rows instead of {rows}"
        recorder.note("label (in the database)", labelled[0], "s", time.monotonic() - began)
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            stages = pool.submit(_train, url).result()
    for stage in stages:
        recorder.note(stage.name, labelled[0], "s", stage.seconds)
        recorder.note(stage.name, labelled[0], "MB at most", stage.megabytes)


def make_markets(connection: Connection, copies: int) -> None:
    """The real market, and copies of the same days, each with a wave of its own laid over its prices."""
    connection.execute("alter table pattern_events disable trigger ml_enqueue")
    ensemble.insert_patterns(connection, ensemble.market().history)
    with unwatched_bars(connection):
        connection.execute(_MORE_BARS, {"copies": copies})
    connection.execute(_MORE_PATTERNS, {"copies": copies})
    connection.execute("vacuum analyze")


class _Stopwatch:
    """Stands in for the pipeline's progress display; records each stage as the next one begins."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self._name = "load, features"
        self._began = time.monotonic()
        self.taken: list[Stage] = []

    def __enter__(self) -> _Stopwatch:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(self, name: str) -> None:
        megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        self.taken.append(Stage(self._name, time.monotonic() - self._began, megabytes))
        self._name, self._began = name, time.monotonic()


def _train(url: str) -> list[Stage]:
    os.environ["DATABASE_URL"] = url
    stopwatch = _Stopwatch()
    setattr(pipeline, "Stages", lambda *_, **__: stopwatch)  # noqa: B010  # a name that the pipeline imports, and mypy does not see
    with connect(url) as connection:
        artifact = pipeline.train(load_prepared(connection), ensemble.ALGORITHMS, version="bench-stages")
        stopwatch("register")
        register(connection, artifact)
        stopwatch("")
    return stopwatch.taken
