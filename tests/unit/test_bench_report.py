"""The document of the benchmarks is made of raw numbers alone, whatever sections there are numbers of."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from bench import harness, report
from bench.__main__ import SECTIONS
from tests.conftest import ROOT

pytestmark = pytest.mark.slow
KEPT = ROOT / "bench" / "results"
MEASURED = [section for section in SECTIONS if (KEPT / f"{section}.csv").exists()]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where numbers are read from and the document is written to."""
    monkeypatch.setattr(harness, "RESULTS", tmp_path)
    monkeypatch.setattr(report, "DOCUMENT", tmp_path / "benchmarks.md")
    monkeypatch.setattr(report, "PLOTS", tmp_path / "plots")
    return tmp_path


def keep(folder: Path, *sections: str) -> None:
    for section in sections:
        (folder / f"{section}.csv").write_bytes((KEPT / f"{section}.csv").read_bytes())


def written(folder: Path) -> str:
    report.write()
    return (folder / "benchmarks.md").read_text(encoding="utf-8")


def test_every_section_of_the_program_is_in_the_document() -> None:
    assert set(report.PARTS) == set(SECTIONS)


@pytest.mark.parametrize("section", MEASURED)
def test_one_section_alone(folder: Path, section: str) -> None:
    keep(folder, section)
    text = written(folder)
    assert "nan" not in text.lower().replace("finance", "")
    missing = text.split("Not measured here: ")[1].splitlines()[0]
    assert section not in missing.replace("`", "").rstrip(".").split(", ")
    assert missing.count("`") == 2 * (len(SECTIONS) - 1)


def test_without_any(folder: Path) -> None:
    assert all(f"`{section}`" in written(folder) for section in SECTIONS)


def test_figures_and_verdicts_follow_the_numbers(folder: Path) -> None:
    rows = [("backlog", size, "rows/s", 0, rate) for size, rate in ((10_000, 7_000.0), (1_000_000, 3_500.0))]
    rows += [("workers", n, "rows/s", 0, 6_000.0 * min(n, 2)) for n in (1, 2, 3, 4)]
    with (folder / "growth.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("subject", "case", "metric", "repeat", "value"), *rows])
    text = written(folder)
    assert "| 1,000,000 rows waiting | 3,500 | 0.50 |" in text
    assert "by backlog (not met: 0.50 from the fastest to the slowest)" in text
    assert "two: 2.00 of 2, met" in text
    assert "by table" not in text


def test_what_is_not_installed_is_said(folder: Path) -> None:
    (folder / "backend.csv").write_text("subject,case,metric,repeat,value\nPL/Python trigger,here,installed,0,0\n")
    assert "PL/Python is not installed here" in written(folder)
