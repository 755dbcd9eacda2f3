"""The document of the benchmarks is made of raw numbers alone, whatever sections there are numbers of."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from bench import report, results
from bench.figures import FIGURES, cell, number
from bench.results import SECTIONS, Number, Recorder, Results, read_runs

BENCH = Path(report.__file__).parent
KEPT = BENCH / "results"
MEASURED = [section for section in SECTIONS if (KEPT / f"{section}.csv").exists()]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where numbers are read from and the document is written to."""
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    monkeypatch.setattr(report, "DOCUMENT", tmp_path / "benchmarks.md")
    monkeypatch.setattr(report, "PLOTS", tmp_path / "plots")
    return tmp_path


def keep(folder: Path, *sections: str) -> None:
    for section in sections:
        (folder / f"{section}.csv").write_bytes((KEPT / f"{section}.csv").read_bytes())


def written(folder: Path) -> str:
    report.write()
    return (folder / "benchmarks.md").read_text(encoding="utf-8")


def test_every_section_has_a_measurement_and_a_text() -> None:
    assert set(FIGURES) == set(SECTIONS)
    assert all((BENCH / f"{section}.py").exists() for section in SECTIONS)
    assert all((BENCH / "templates" / f"{section}.md.jinja").exists() for section in SECTIONS)


def test_what_is_recorded_is_read_back(folder: Path) -> None:
    recorder = Recorder("storage", scale=0.5, repeats=2)
    for repeat, value in enumerate((0.5, 1.0)):
        recorder.note("first scores", recorder.scaled(10), "heap-only share", value, repeat)
    recorder.save()
    read = Results.read("storage")
    assert read.numbers == [Number("first scores", "5", "heap-only share", n, v) for n, v in ((0, 0.5), (1, 1.0))]
    assert cell(read, "first scores", 5, "heap-only share") == "0.75 (0.5–1)"
    assert [(run.section, run.scale, run.repeats) for run in read_runs()] == [("storage", "0.5", "2")]
    assert "## Where and when" in written(folder)


@pytest.mark.parametrize(
    ("value", "text"), [(float("nan"), "–"), (0, "0"), (0.01234, "0.0123"), (9.876, "9.88"), (12_345.6, "12,346")]
)
def test_a_number(value: float, text: str) -> None:
    assert number(value) == text


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


def test_the_document_is_that_of_the_kept_numbers(folder: Path) -> None:
    for file in KEPT.glob("*.csv"):
        (folder / file.name).write_bytes(file.read_bytes())
    assert written(folder) == (BENCH.parent / "docs" / "benchmarks.md").read_text(encoding="utf-8")
