"""The database that the notebooks read, and running them. ``python -m tests.notebooks`` keeps new outputs in them."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat
import psycopg
from nbclient import NotebookClient
from traitlets.config import Config

import worker.cli
from db_functions.database import database_url
from demo.application import insert_bars, insert_patterns
from demo.market import BENCHMARK
from demo.rows import load_market
from tests.conftest import ROOT, upgrade
from worker.serving.engine import Engine

FOLDER = ROOT / "docs" / "notebooks"
NOTEBOOKS = [
    FOLDER / f"{name}.ipynb" for name in ("reading-the-views", "what-a-feature-is-worth", "labelled-rows-to-a-model")
]
"""In the order in which they run: the last one promotes another champion."""
SINCE = datetime(2006, 1, 1, tzinfo=UTC)
"""Patterns of the demo detected before this are left out, for time."""


def fill(url: str) -> None:
    """The demo's bars and patterns, scored by first passage and labelled."""
    market = load_market()
    with psycopg.connect(url, autocommit=True) as connection:
        for series in market.series.values():
            insert_bars(connection, series)
        connection.execute("select ml.set('benchmark_symbol', %s, 'the demo')", [BENCHMARK])
        connection.execute("select ml.set('history_lag', '30 days', 'the demo')")
        worker.cli.main(["first-passage", "--promote"])
        patterns = [*market.history, *market.live]
        insert_patterns(connection, [one for one in patterns if one.detected_at >= SINCE])
        engine = Engine(connection)
        engine.refresh_model()
        while engine.score_queue().done:
            pass
        connection.execute("select ml.label_outcomes()")


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]


def execute(path: Path) -> Any:
    """The notebook with new outputs; raises CellExecutionError where a cell does."""
    notebook = read(path)
    # Over sockets of the file system: a kernel listens on TCP otherwise.
    config = Config(KernelManager={"transport": "ipc"})
    resources = {"metadata": {"path": str(ROOT)}}
    NotebookClient(notebook, kernel_name="python3", timeout=300, resources=resources, config=config).execute()
    return notebook


def main() -> None:
    """Fill the empty database that ``DATABASE_URL`` names, run every notebook on it, and keep the outputs."""
    os.environ["DATABASE_URL"] = url = database_url()
    upgrade(url)
    fill(url)
    for path in NOTEBOOKS:
        notebook = execute(path)
        for cell in notebook.cells:
            cell.metadata = {}
        nbformat.write(notebook, path)  # type: ignore[no-untyped-call]
        print(path.name, file=sys.stderr)


if __name__ == "__main__":
    main()
