"""The wheel alone, in an environment and a folder of its own: from nothing to a scored row."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import time
import tomllib
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from db_functions import command
from tests.conftest import ROOT
from tests.previous import build_sdist, build_wheel, wheel_of

BARS = """
insert into price_bars select 'ACME', '1d', now() - (30 - n) * interval '1 day', c, c + 1, c - 1, c, 1000
from (select n, 100 + 3 * sin(n * n) as c from generate_series(1, 30) n) feed
"""
PATTERN = """
insert into pattern_events (symbol, timeframe, pattern_type, entry, stoploss, target, confidence)
values ('ACME', '1d', 'double_bottom', 100, 97, 106, 0.64)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command of a fresh environment; what the wheel depends on is taken from the environment of the tests."""
    folder = tmp_path_factory.mktemp("wheel")
    wheel = build_wheel(folder)
    subprocess.run([sys.executable, "-m", "venv", folder / "env"], check=True)
    program = folder / "env" / "bin" / "python"
    subprocess.run([program, "-m", "pip", "install", "-q", "--no-deps", "--no-index", wheel], check=True)
    site = Path(
        subprocess.run(
            [program, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
            check=True, capture_output=True, text=True,
        ).stdout.strip()
    )  # fmt: skip
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return folder / "env" / "bin" / "pattern-scoring"


def run(command: Path, folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [command, *arguments], cwd=folder, env=_environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "PYTHONPATH")}


@pytest.mark.slow
def test_five_commands_to_a_scored_row(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "worker").mkdir()
    (tmp_path / "worker" / "__main__.py").write_text("raise SystemExit('the folder of the same name')")
    run(installed, tmp_path, "migrate")
    run(installed, tmp_path, "worker", "first-passage", "--promote")
    worker = subprocess.Popen(
        [installed, "worker", "run", "--processes", "2"], cwd=tmp_path, env=_environment(), stderr=subprocess.PIPE
    )
    try:
        run(installed, tmp_path, "psql", "-c", BARS, "-c", PATTERN)
        end, scored = time.monotonic() + 60, ""
        while scored.strip() != "scored" and time.monotonic() < end:
            scored = run(installed, tmp_path, "psql", "-Atc", "select ml_metadata ->> 'reason' from pattern_events")
        assert scored.strip() == "scored"
    finally:
        worker.terminate()
        _, said = worker.communicate(timeout=60)
    assert worker.returncode == 0, said
    assert "0002" in run(installed, tmp_path, "migrate", "current")


@pytest.mark.slow
def test_it_migrates_back(installed: Path, tmp_path: Path) -> None:
    run(installed, tmp_path, "migrate")
    run(installed, tmp_path, "migrate", "downgrade", "base")
    assert run(installed, tmp_path, "psql", "-Atc", "select count(*) from pg_namespace where nspname = 'ml'") == "0\n"


@pytest.mark.slow
def test_the_source_distribution_makes_the_same_wheel(tmp_path: Path) -> None:
    def files(wheel: Path) -> dict[str, bytes]:
        with zipfile.ZipFile(wheel) as archive:
            return {name: archive.read(name) for name in archive.namelist() if not name.endswith("RECORD")}

    ours = files(build_wheel(tmp_path / "tree"))
    assert files(wheel_of(build_sdist(tmp_path / "sdist"), tmp_path / "made")) == ours
    assert "db_functions/sql/schema.sql" in ours


def test_the_wheel_has_every_package() -> None:
    packaged = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for package in ("db_functions", "training", "worker")
        for path in (ROOT / package).rglob("__init__.py")
    }
    assert packaged - found == {"db_functions.migrations", "db_functions.migrations.versions"}
    assert found <= packaged


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "usage: pattern-scoring"),
        (["--help"], 0, "training"),
        (["--version"], 0, "pattern-scoring 0."),
        (["wrker"], 2, "there is no command 'wrker'"),
        (["migrate", "upgrade", "nowhere", "--sql"], 1, "nowhere"),
    ],
)
def test_it_says_what_it_can_do(
    arguments: Sequence[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(arguments) == code
    printed = capsys.readouterr()
    assert said in printed.out + printed.err
