"""The programs of the previous release, in processes of their own.

Nothing has been released yet, so a wheel of the tree as it is stands in for the previous release: the tests run, and
show that an installed package works. From 0.1.0 on, put the released wheel into ``tests/previous_release``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import ROOT

RELEASED = ROOT / "tests" / "previous_release"
PACKAGED = ("db_functions", "training", "worker", "alembic", "pyproject.toml", "README.md", "LICENSE")


def build_wheel(folder: Path) -> Path:
    """A wheel of the tree as it is, built from a copy: setuptools leaves its work in the tree that it builds."""
    return wheel_of(_copied(folder), folder)


def build_sdist(folder: Path) -> Path:
    """A source distribution of the tree as it is."""
    program = f"from setuptools import build_meta; build_meta.build_sdist({str(folder)!r})"
    _run([sys.executable, "-c", program], cwd=_copied(folder))
    return next(folder.glob("*.tar.gz"))


def wheel_of(source: Path, folder: Path) -> Path:
    """The wheel of a tree, or of a source distribution, in ``folder``."""
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    _run([*pip, "--wheel-dir", str(folder), str(source)])
    return next(folder.glob("*.whl"))


def _copied(folder: Path) -> Path:
    tree = folder / "tree"
    tree.mkdir(parents=True)
    for name in PACKAGED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, tree / name)
    return tree


def _run(command: list[str], cwd: Path | None = None) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def unpacked(folder: Path) -> Path:
    """The previous release, unpacked below ``folder``: its programs run with the result as their path."""
    wheel = next(RELEASED.glob("*.whl"), None) or build_wheel(folder)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "installed")
    return folder / "installed"


def environment(url: str, release: Path) -> dict[str, str]:
    return {**os.environ, "DATABASE_URL": url, "PYTHONPATH": str(release)}


def run(release: Path, url: str, folder: Path, *arguments: str) -> str:
    """What a command of the previous release prints; it must end well."""
    done = subprocess.run(
        [sys.executable, *arguments],
        env=environment(url, release),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def previous_worker(release: Path, url: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    with (folder / "log").open("w") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "worker", "run"], env=environment(url, release), cwd=folder, stderr=log, text=True
        )
    try:
        yield worker
        worker.terminate()
        assert worker.wait(20) == 0, (folder / "log").read_text()
    finally:
        worker.kill()
        worker.wait()
