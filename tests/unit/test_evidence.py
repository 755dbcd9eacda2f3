"""The evidence: its document is that of the kept numbers, and its words follow them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.evidence import report
from bench.evidence.forward import ANSWERS, BASE, CHAMPION, PLAIN, judge
from bench.evidence.measure import DATA
from bench.evidence.report import MOST_LOST, Evidence
from bench.evidence.results import EVERY, Bin, Chosen, Driftless, Kept, PairScore, Run, Score, Side, read, save
from tests.training_support import SMALL, dataset
from training.correction import CANDIDATES

ROOT = Path(report.__file__).parents[2]
KEPT = ROOT / "bench" / "results" / "model"


def written(kept: Path, folder: Path) -> str:
    report.write(kept, folder / "model.md", folder / "plots")
    return (folder / "model.md").read_text(encoding="utf-8")


def test_the_document_is_that_of_the_kept_numbers(tmp_path: Path) -> None:
    assert written(KEPT, tmp_path) == (ROOT / "docs" / "model.md").read_text(encoding="utf-8")
    drawn = {file.name for file in (tmp_path / "plots").iterdir()}
    assert drawn == {file.name for file in (ROOT / "docs" / "model").iterdir()}


@pytest.mark.parametrize("kind", [Score, Kept, Bin, Side, Run, PairScore, Chosen, Driftless])
def test_what_is_kept_is_read_back(kind: Any, tmp_path: Path) -> None:
    rows = read(kind, KEPT)
    save(rows, tmp_path)
    file = f"{kind.__name__.lower()}.csv"
    assert (tmp_path / file).read_bytes() == (KEPT / file).read_bytes()


def test_every_data_set_has_numbers() -> None:
    evidence = Evidence.read(KEPT)
    for data in DATA:
        years = [one.year for one in evidence.years(data)]
        assert len(years) > 5
        assert {(data, year, answer) for year in [EVERY, *years] for answer in ANSWERS} <= set(evidence.scores)
        assert sum(evidence.shares(data).values()) == pytest.approx(1)
        rows = sum(evidence.scores[data, year, CHAMPION].rows for year in years)
        assert rows == evidence.pooled(data, CHAMPION).rows


@pytest.mark.parametrize(
    ("change", "missed"),
    [
        ({"less_passage": MOST_LOST + 1e-4, "less_passage_low": -0.01}, {"not_worse"}),
        ({"less_passage": 2e-4, "less_passage_low": 1e-4}, {"not_worse"}),
        ({"less_base_high": 0.001}, {"better_than_base"}),
        ({"ece": 0.5}, {"calibrated"}),
    ],
)
def test_a_miss_is_said(change: dict[str, float], missed: set[str]) -> None:
    data = DATA[0]
    good = Score(data, EVERY, CHAMPION, 100, 0.2, -0.03, -0.04, -0.02, 0.0, -0.001, 0.001, 0.7, 0.02, 0.03)
    scores = {(data, EVERY, PLAIN): replace(good, answer=PLAIN)}
    assert all(Evidence({**scores, (data, EVERY, CHAMPION): good}, [], [], []).verdicts(data).values())
    found = Evidence({**scores, (data, EVERY, CHAMPION): replace(good, **change)}, [], [], []).verdicts(data)  # type: ignore[arg-type]
    assert {name for name, met in found.items() if not met} == missed


def test_nothing_is_asked_where_first_passage_is_no_better_than_the_base_rate() -> None:
    data = DATA[0]
    weak = Score(data, EVERY, CHAMPION, 100, 0.2, -0.03, -0.07, 0.01, 0.0, -0.001, 0.001, 0.7, 0.02, 0.03)
    scores = {(data, EVERY, answer): replace(weak, answer=answer) for answer in (CHAMPION, PLAIN)}
    assert Evidence(scores, [], [], []).verdicts(data)["better_than_base"] is None


@pytest.mark.slow
def test_a_year_is_answered_by_what_was_known_before_it() -> None:
    """Outcomes of the last year decide nothing, neither for it nor for the years before."""
    data = dataset()
    judged = judge(data, SMALL, since=2013)
    assert len(judged.years) >= 2
    last = judged.dataset.detected_at[judged.year == judged.years[-1].year].min()
    outcome = data.outcome.copy()
    outcome[data.detected_at >= last] = 0
    again = judge(replace(data, outcome=outcome), SMALL, since=2013)
    for answer in set(ANSWERS) - {BASE}:
        np.testing.assert_allclose(judged.answers[answer], again.answers[answer], rtol=0, atol=1e-12)
    assert {one.kept for one in judged.years} <= set(CANDIDATES)
    assert all(one.known == (data.horizon_at < _begin(one.year)).sum() for one in judged.years)


def _begin(year: int) -> int:
    return int(np.datetime64(f"{year}-01-01", "s").astype(np.int64))
