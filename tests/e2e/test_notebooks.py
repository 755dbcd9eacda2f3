"""The notebooks of ``docs/notebooks``: each runs, and keeps pictures for those who only read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from db_functions.database import Connection
from tests import notebooks
from tests.conftest import ROOT

every_notebook = pytest.mark.parametrize("path", notebooks.NOTEBOOKS, ids=lambda path: path.stem)


def pictures(notebook: Any) -> int:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return sum("image/png" in output.get("data", ()) for output in outputs)


def test_there_are_no_others() -> None:
    assert sorted(notebooks.FOLDER.glob("*.ipynb")) == sorted(notebooks.NOTEBOOKS)


@every_notebook
def test_what_is_kept_is_whole(path: Path) -> None:
    notebook = notebooks.read(path)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert pictures(notebook) >= 2
    outputs = [output for cell in code for output in cell.outputs]
    assert {output.output_type for output in outputs} <= {"display_data", "execute_result", "stream"}
    assert [output.name for output in outputs if output.output_type == "stream" and output.name == "stderr"] == []


@every_notebook
def test_links_lead_somewhere(path: Path) -> None:
    text = "\n".join(cell.source for cell in notebooks.read(path).cells if cell.cell_type == "markdown")
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        assert (path.parent / target).exists(), target


@pytest.mark.slow
def test_each_runs(connection: Connection, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebooks.fill(database)
    for path in notebooks.NOTEBOOKS:
        kept = notebooks.read(path)
        assert pictures(notebooks.execute(path)) == pictures(kept), path.name
    champion = connection.execute("select champion from ml.health").fetchone()
    assert champion == ("corrected",)
