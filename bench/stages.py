"""Training by stage: labelled rows to a registered model, time and memory."""

from __future__ import annotations

import multiprocessing
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from typing import Final

from bench import ensemble
from bench.harness import Bench, Recorder, connect
from db_functions.database import Connection
from demo.application import insert_patterns
from demo.stages import ALGORITHMS
from training import pipeline
from training.load import load_labelled
from training.registry import register

ROWS: Final = 100_000
LEAST: Final = 2_000
"""Fewer are refused."""
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
"""Other markets of the same days: the real one, each with a wave of its own laid over its prices."""


def measure(bench: Bench, recorder: Recorder) -> None:
    rows = max(LEAST, recorder.scaled(ROWS))
    with bench.database() as url, connect(url) as connection:
        _make_markets(connection, -(-rows // _PER_MARKET) - 1)
        began = time.monotonic()
        labelled = connection.execute("select ml.label_outcomes(null)").fetchone()
        assert labelled is not None
        assert labelled[0] >= rows, f"{labelled[0]} labelled rows instead of {rows}"
        recorder.note("label (in the database)", rows, "s", (time.monotonic() - began) * rows / labelled[0])
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            taken = pool.submit(_train, url, rows).result()
    for stage, seconds, megabytes in taken:
        recorder.note(stage, rows, "s", seconds)
        recorder.note(stage, rows, "MB at most", megabytes)


def _make_markets(connection: Connection, copies: int) -> None:
    connection.execute("alter table pattern_events disable trigger ml_enqueue")
    insert_patterns(connection, ensemble.market().history)
    connection.execute("alter table price_bars disable trigger user")
    connection.execute(_MORE_BARS, {"copies": copies})
    connection.execute("alter table price_bars enable trigger user")
    connection.execute(_MORE_PATTERNS, {"copies": copies})
    connection.execute("vacuum analyze")


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
        began = time.monotonic()
        dataset = load_labelled(connection).take(slice(rows))
        _Stages.taken.append(("load", time.monotonic() - began, _most_mb()))
        artifact = pipeline.train(dataset, ALGORITHMS, version="bench-stages")
        began = time.monotonic()
        register(connection, artifact)
        _Stages.taken.append(("register", time.monotonic() - began, _most_mb()))
    return _Stages.taken


def _most_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
