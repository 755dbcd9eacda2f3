"""Commands as a shell runs them: a reader that leaves early, a demo that has not run."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from db_functions.database import Connection
from demo.__main__ import main as demo
from tests.conftest import ROOT
from tests.support import register


@pytest.mark.parametrize("command", [("training", "list"), ("worker", "status")], ids=" ".join)
def test_a_reader_that_leaves_is_no_error(command: tuple[str, ...], connection: Connection, database: str) -> None:
    register(connection, "one")
    reading, writing = os.pipe()
    os.close(reading)
    environment = {**os.environ, "DATABASE_URL": database, "PYTHONPATH": str(ROOT)}
    with os.fdopen(writing, "wb") as gone:
        done = subprocess.run(
            [sys.executable, "-m", *command], stdout=gone, stderr=subprocess.PIPE, env=environment, check=False
        )
    assert (done.returncode, done.stderr) == (0, b"")


def test_psql_of_a_demo_that_has_not_run_says_what_to_run(
    database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", database)
    assert demo(["psql"]) == 1
    assert "make demo" in capsys.readouterr().out
