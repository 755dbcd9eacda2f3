"""A feature added today is served by the worker of the release before: it ships inside the model."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from db_functions.database import Connection
from tests.conftest import ROOT
from tests.previous import previous_worker
from tests.support import at, insert_labelled, insert_pattern, row_of, wait_until

FEATURE = """

@feature("C / C 9 bars before", range="[0, inf]", bars=10)
def noon(w: Window) -> Array:
    return w.close[:, -1:] / w.close[:, -10:-9]
"""


@pytest.mark.slow
def test_a_new_feature_needs_no_worker_release(
    connection: Connection, database: str, release: Path, tmp_path: Path
) -> None:
    insert_labelled(connection)
    for package in ("training", "db_functions"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / "training" / "features" / "price_action.py").open("a") as module:
        module.write(FEATURE)
    worker_folder = tmp_path / "worker"
    worker_folder.mkdir()
    with previous_worker(release, database, worker_folder):
        command = [
            "training",
            "train",
            "--models",
            "logistic",
            "--candidate",
            "ensemble",
            "--version",
            "noon-1",
            "--promote",
            "--quiet",
        ]
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=tmp_path,
            env={**os.environ, "DATABASE_URL": database, "PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        pattern = insert_pattern(connection, symbol="WIDE", detected_at=at(860))
        wait_until(lambda: row_of(connection, pattern)["model_version"] == "noon-1", "the old worker serves it", 60)
    row = connection.execute(
        "select (ml.explain_score(%s)).features ->> 'noon', b.close / a.close from price_bars a, price_bars b "
        "where a.symbol = 'WIDE' and b.symbol = 'WIDE' and a.ts = %s and b.ts = %s",
        [pattern, at(851), at(860)],
    ).fetchone()
    assert row is not None
    assert float(row[0]) == pytest.approx(row[1])
