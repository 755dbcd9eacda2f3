"""The demo's table, sentences and picture: they claim what the rows show, and no more."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from demo.picture import write_picture
from demo.quality import (
    BASE,
    BLOCK_S,
    CLAIMS,
    EARLIER,
    FIRST_PASSAGE,
    ML,
    READ,
    RULE,
    Judged,
    chance_ece,
    earlier_system,
    sentences,
)
from demo.report import Row, judge
from training.evaluate import Verdict

Floats = NDArray[np.float64]


def judged(ml: Floats, hit: Floats, days: Floats) -> Judged:
    """An ML confidence beside a constant rule of 0.6 and a base rate of 0.5."""
    answers = {BASE: np.full(len(hit), 0.5), RULE: np.full(len(hit), 0.6), ML: ml}
    return Judged.of(answers, hit, days * 86_400)


# Claims


def test_claims_follow_the_rows() -> None:
    rng = np.random.default_rng(5)
    days = np.sort(rng.uniform(0, 730, 1200))
    truth = rng.uniform(0.2, 0.8, len(days))
    hit = (rng.random(len(days)) < truth).astype(np.float64)
    assert judged(truth, hit, days).claim(ML, BASE) is Verdict.BETTER
    assert judged(1 - truth, hit, days).claim(ML, BASE) is Verdict.WORSE
    assert judged(0.5 + rng.normal(0, 0.01, len(days)), hit, days).claim(ML, BASE) is Verdict.EQUAL


def test_rows_that_move_together_count_once() -> None:
    """Each block is one coin, thrown for fifty rows: six lucky ones of ten prove nothing."""
    block_days = BLOCK_S / 86_400
    days = np.repeat(np.arange(10) * block_days + 1, 50)
    hit = np.repeat([1.0, 1, 1, 1, 1, 1, 0, 0, 0, 0], 50)
    assert judged(np.full(500, 0.55), hit, days).claim(ML, BASE) is Verdict.EQUAL
    apart = np.arange(500, dtype=np.float64) * block_days
    assert judged(np.full(500, 0.55), hit, apart).claim(ML, BASE) is Verdict.BETTER


def test_every_claim_among_the_answers_is_a_sentence() -> None:
    rng = np.random.default_rng(2)
    hit = (rng.random(300) < 0.5).astype(np.float64)
    lines = list(sentences(judged(np.full(300, 0.5), hit, np.arange(300.0))))
    assert len(lines) == 1 + sum({name, other} <= {BASE, RULE, ML} for name, other in CLAIMS)
    assert all(f"{other}" in line for line, other in zip(lines[1:], (BASE, RULE), strict=True))


def test_one_number_under_two_names_is_no_contest() -> None:
    """As when the model that serves is first passage itself; its feature is kept in single precision."""
    p = np.random.default_rng(4).random(100)
    answers = {BASE: np.full(100, 0.5), FIRST_PASSAGE: p.astype(np.float32).astype(np.float64), ML: p}
    said = list(sentences(Judged.of(answers, np.ones(100), np.arange(100.0) * 86_400)))
    assert any(f"{ML} [bold]is[/] {FIRST_PASSAGE}" in line for line in said)


def test_rows_without_an_answer_or_an_outcome_are_left_out() -> None:
    hit = np.array([1.0, np.nan, 0.0, 1.0])
    one = judged(np.array([0.5, 0.5, np.nan, 0.75]), hit, np.arange(4.0))
    assert one.hit.tolist() == [1.0, 1.0]
    assert one.answers[ML].tolist() == [0.5, 0.75]
    assert one.brier(ML).value == pytest.approx((0.25 + 0.0625) / 2)


def test_chance_calibration_error_shrinks_with_rows() -> None:
    few, many = (chance_ece(np.random.default_rng(1).uniform(0.3, 0.7, rows)) for rows in (200, 5000))
    assert few == pytest.approx(0.083, abs=0.02)
    assert many < few / 3


def test_the_earlier_system_blends_high_scores_alone() -> None:
    found = earlier_system(np.array([0.2, 0.54, 0.55, 0.9]), np.array([0.7, 0.7, 0.7, 0.5]))
    np.testing.assert_allclose(found, [0.7, 0.7, 0.61, 0.74])


# Rows and picture


ROW = Row(
    detected_at=datetime(2012, 1, 3, tzinfo=UTC),
    symbol="IBM",
    pattern_type="engulfing",
    direction=1,
    rule_confidence=0.7,
    ml_confidence=0.4,
    confidence=0.52,
    source="blend",
    reason="scored",
    prediction_latency_ms=4.0,
    outcome_label="positive",
    first_passage=0.35,
    model_version="first",
)


def some_rows(count: int = 200) -> list[Row]:
    return [
        replace(
            ROW,
            detected_at=ROW.detected_at + timedelta(days=3 * n),
            ml_confidence=n / count,
            outcome_label=("positive", "negative", "neutral")[n % 3],
        )
        for n in range(count)
    ]


def test_a_row_is_a_hit_when_it_is_positive() -> None:
    found = judge(some_rows(9), 0.4)
    assert found.hit.tolist() == [1, 0, 0] * 3
    assert list(found.answers) == [BASE, RULE, FIRST_PASSAGE, ML, READ, EARLIER]
    assert {name: answer[0] for name, answer in found.answers.items()} == {
        BASE: 0.4,
        RULE: 0.7,
        FIRST_PASSAGE: 0.35,
        ML: 0.0,
        READ: 0.52,
        EARLIER: 0.7,
    }


def test_a_model_without_first_passage_leaves_it_out() -> None:
    assert FIRST_PASSAGE not in judge([replace(row, first_passage=None) for row in some_rows()], 0.4).answers


class Points(HTMLParser):
    """Where the dots of a page are."""

    def __init__(self) -> None:
        super().__init__()
        self.at: list[tuple[float, float]] = []
        self.figures = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.figures += tag == "figure"
        if tag == "circle":
            found = dict(attrs)
            self.at.append((float(found["cx"] or "nan"), float(found["cy"] or "nan")))


def test_the_picture_has_a_plot_for_every_answer(tmp_path: Path) -> None:
    page = write_picture(judge(some_rows(), 0.4), tmp_path / "folder" / "demo.html")
    points = Points()
    points.feed(page.read_text(encoding="utf-8"))
    assert points.figures == 5
    # A fifth each of the ML confidence; the others give all rows the same.
    assert len(points.at) == 5 + 3 + 3
    ml = points.at[2:7]
    assert all(left < right for (left, _), (right, _) in itertools.pairwise(ml))
    assert all(0 < x < 440 and 0 < y < 300 for x, y in points.at)
