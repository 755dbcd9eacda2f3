"""The model that every measurement serves: the full ensemble, trained once on the bundled real market, and cached.

The only module here that imports the demo: its market, its patterns and its algorithms.
"""

from __future__ import annotations

import hashlib
import pickle
from functools import cache
from pathlib import Path
from typing import Any, Final

from psycopg import Connection

from db_functions.queries import query
from demo.application import insert_bars, insert_patterns
from demo.market import BENCHMARK
from demo.rows import Market, load_market
from demo.stages import ALGORITHMS
from training.dataset import Dataset
from training.load import load_dataset
from training.pipeline import Artifact, train
from training.registry import promote, register

__all__ = ["ALGORITHMS", "insert_patterns", "kept_artifact", "kept_dataset", "make_champion", "market"]
CACHE: Final = Path(".cache/bench")
_SOURCES: Final = ("training", "db_functions", "demo/market.py", "demo/application.py", "demo/patterns", "demo/rows.py")


@cache
def market() -> Market:
    """Thirteen years of real daily bars, and the patterns found in them."""
    return load_market()


def insert_market(connection: Connection[Any], *, patterns: bool) -> None:
    """Insert the bars of the whole market, with its history of patterns or without, and set what the demo sets."""
    whole = market()
    for series in whole.series.values():
        insert_bars(connection, series)
    if patterns:
        insert_patterns(connection, whole.history)
    connection.execute("select ml.set('benchmark_symbol', %s, 'bench')", [BENCHMARK])
    connection.execute("select ml.set('history_lag', '30 days', 'bench')")


def kept_dataset(connection: Connection[Any]) -> Dataset:
    """The labelled rows of the market, from the cache or made over ``connection``, an empty database at head."""
    file = CACHE / f"dataset-{_digest()}.pickle"
    if not file.exists():
        insert_market(connection, patterns=True)
        connection.execute(query("label_outcomes"), {"max_rows": None})
        _keep(file, load_dataset(connection))
    found: Dataset = pickle.loads(file.read_bytes())
    return found


def kept_artifact(connection: Connection[Any]) -> Artifact:
    """The trained ensemble, from the cache or trained now (about a minute)."""
    file = CACHE / f"named-ensemble-{_digest()}.pickle"
    if not file.exists():
        # Named, because training keeps the simplest candidate, and the most expensive one is to be measured.
        _keep(file, train(kept_dataset(connection), ALGORITHMS, candidate="ensemble"))
    found: Artifact = pickle.loads(file.read_bytes())
    return found


def make_champion(connection: Connection[Any], artifact: Artifact) -> None:
    """Register it and promote it."""
    register(connection, artifact)
    promote(connection, artifact.version, "bench", force=True)


def _keep(file: Path, value: object) -> None:
    CACHE.mkdir(parents=True, exist_ok=True)
    file.write_bytes(pickle.dumps(value))


@cache
def _digest() -> str:
    """A digest of all code that the model depends on, so that a change trains again."""
    total = hashlib.sha256()
    for source in _SOURCES:
        path = Path(source)
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            total.update(file.read_bytes())
    return total.hexdigest()[:12]
