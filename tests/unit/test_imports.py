"""Who may import whom: a worker starts without anything of training."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

HEAVY = (
    "sklearn",
    "skl2onnx",
    "onnx",
    "pandas",
    "scipy",
    "training",
    "spox",
    "ndonnx",
    "alembic",
    "sqlalchemy",
    "joblib",
)


def imported(path: Path) -> set[str]:
    """First parts of every module that a file imports, anywhere in it."""
    names = set[str]()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add((node.module or "").split(".")[0])
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("importlib.import_module", "__import__"):
            names |= {str(part.value).split(".")[0] for part in node.args if isinstance(part, ast.Constant)}
    return names


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("worker", {*HEAVY, "tests", "bench", "demo"}),
        ("training", {"worker", "tests", "bench", "demo"}),
        ("db_functions", {*HEAVY, "worker", "tests", "bench", "demo"} - {"sqlalchemy", "alembic"}),
        ("alembic", {"worker", "training", "tests", "bench", "demo"}),
        ("bench", {"tests"}),
    ],
)
def test_packages_keep_to_their_side(package: str, forbidden: set[str]) -> None:
    files = list((ROOT / package).rglob("*.py"))
    assert files
    wrong = {str(path.relative_to(ROOT)): found for path in files if (found := imported(path) & forbidden)}
    assert wrong == {}


def loaded_by(module: str) -> set[str]:
    code = f"import sys, {module}; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(found.stdout.split())


def test_the_worker_loads_nothing_heavy() -> None:
    loaded = loaded_by("worker.cli")
    assert {"onnxruntime", "numpy", "psycopg", "worker", "db_functions"} <= loaded
    assert loaded & {*HEAVY, "starlette", "uvicorn"} == set()


def test_a_replay_loads_nothing_that_fits() -> None:
    """Each process of a cluster imports it, and seconds of that would be added to every start."""
    assert (
        loaded_by("training.replay") & {"sklearn", "skl2onnx", "scipy", "pandas", "spox", "ndonnx", "joblib"} == set()
    )


@pytest.mark.parametrize("module", ["database", "contract", "gather", "queries"])
def test_the_shared_modules_load_no_runtime(module: str) -> None:
    """Migrations and analysts need a connection and the contract, but no ONNX Runtime."""
    assert loaded_by(f"db_functions.{module}") & {*HEAVY, "onnxruntime", "worker"} == set()


def test_the_walk_sees_every_kind_of_import(tmp_path: Path) -> None:
    file = tmp_path / "sample.py"
    file.write_text(
        "import a.b\nfrom c.d import e\nif True:\n    def f():\n        import g as h\n"
        "import importlib\nimportlib.import_module('i.j')\n"
    )
    assert imported(file) == {"a", "c", "g", "importlib", "i"}
