"""Rows made ready slice by slice are those that are made ready at once, wherever the slices are read."""

from __future__ import annotations

import gc
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest

from db_functions.bulk.engines import local_processes
from db_functions.bulk.options import engine_of
from db_functions.database import Connection
from tests.support import at, insert_labelled
from training import cli, parallel, prepare, tune
from training.errors import NoSpace
from training.load import load_dataset
from training.pipeline import train
from training.tune import Search

MODELS = ("logistic",)


@pytest.fixture
def labelled(connection: Connection, database: str, monkeypatch: pytest.MonkeyPatch) -> Connection:
    monkeypatch.setenv("DATABASE_URL", database)
    monkeypatch.setattr(prepare, "_SLICE", 100)
    insert_labelled(connection)
    return connection


def test_slices_join_to_the_whole(labelled: Connection, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    whole = prepare.prepare(load_dataset(labelled))
    found = prepare.load_prepared(labelled)
    assert len(found.dataset) > 300
    np.testing.assert_array_equal(found.features, whole.features)
    for name in ("pattern_id", "symbol", "outcome", "detected_at", "horizon_at", "short"):
        np.testing.assert_array_equal(getattr(found.dataset, name), getattr(whole.dataset, name))
    assert found.undefined == whole.undefined
    some = np.array([0, 7, len(found.dataset) - 1])
    again, kept = found.read(some), whole.read(some)
    for name, values in kept.items():
        np.testing.assert_array_equal(again[name], values)
    assert "bars" not in found.dataset.inputs
    assert len(list(tmp_path.iterdir())) == 1
    del found
    gc.collect()
    assert not list(tmp_path.iterdir())


def test_without_a_row_there_is_nothing(labelled: Connection) -> None:
    assert len(prepare.load_prepared(labelled, since=at(100_000)).dataset) == 0


def test_a_full_disk_is_said_with_what_to_do(
    labelled: Connection, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Which is always full.
    monkeypatch.setattr(
        tempfile, "mkstemp", lambda **_: (os.open("/dev/full", os.O_WRONLY), str(tmp_path / "features"))
    )
    (tmp_path / "features").touch()
    with pytest.raises(NoSpace, match="TMPDIR"):
        prepare.load_prepared(labelled)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["process", "dask"])
def test_wherever_it_is_trained_the_file_is_the_same(
    labelled: Connection, engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tune, "FEWEST_TO_FIT", 20)
    monkeypatch.setattr(tune, "FEWEST_LATER", 10)
    files, journals = [], []
    for where in ("none", engine):
        options = cli.parser().parse_args(["train", "--engine", where, "--processes", "2"])
        journals.append(tmp_path / where)
        rows = prepare.load_prepared(labelled, engine_of(options))
        search = Search(2, journals[-1])
        with parallel.fitting_on(where, 2, None):
            files.append(train(rows, MODELS, candidate="ensemble", search=search, size=0.1).onnx)
    assert journals[0].read_bytes() == journals[1].read_bytes()
    assert files[0] == files[1]


@pytest.mark.slow
def test_a_process_that_ends_is_replaced(labelled: Connection, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    whole = prepare.load_prepared(labelled)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    killer = "import os, sys\nif not os.path.exists(__file__ + '.done') and '--multiprocessing-fork' in sys.argv:\n"
    (tmp_path / "sitecustomize.py").write_text(killer + "    open(__file__ + '.done', 'w').close()\n    os._exit(1)\n")
    found = prepare.load_prepared(labelled, local_processes(2))
    assert (tmp_path / "sitecustomize.py.done").exists()
    np.testing.assert_array_equal(found.features, whole.features)
