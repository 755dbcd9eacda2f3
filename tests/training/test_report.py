"""The report: its figures by definition, its rows unseen, its page alone and harmless."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser

import numpy as np
import pytest
from sklearn.metrics import precision_recall_curve, roc_auc_score

from tests.training_support import HORIZON, SMALL, small_dataset
from training.baseline import histogram, smoothed_psi
from training.curves import lift_curve, precision_curve, roc_curve
from training.errors import TooFewRows
from training.first_passage import plain_target
from training.pipeline import Artifact, train
from training.plots import bar_list
from training.report import Contribution, Subject, _against_diagonal, render, unseen_rows
from training.scores import Interval, above_noise
from training.split import split_by_time


class Page(HTMLParser):
    """What a browser would make of the page: tags, what they load, rows of tables, and texts by tag."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags = [""]
        self.loads: list[str] = []
        self.rows: list[list[str]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [name for name, _ in attrs if name in ("src", "href") or name.startswith("on")]
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        self.texts.append((self.tags[-1], data))
        if self.tags[-1] in ("td", "th", "small") and data.strip():
            self.rows[-1][-1] = f"{self.rows[-1][-1]} {data}".strip()

    def heads(self, tag: str) -> list[str]:
        return [text for own, text in self.texts if own == tag and text.strip()]

    def row(self, title: str) -> list[str]:
        return next(row for row in self.rows if row[:1] == [title])


@cache
def held_out() -> Artifact:
    """Fitted without the last fifth, so that there are rows to report on."""
    return train(small_dataset(), ["logistic"], candidate="ensemble", refit=False, seed=3, size=SMALL)


def subject(artifact: Artifact) -> Subject:
    return Subject(
        artifact.version, artifact.onnx, artifact.sha256, artifact.algorithm, list(artifact.feature_names),
        artifact.metrics, artifact.drift_baseline, artifact.model_card,
    )  # fmt: skip


@cache
def page() -> str:
    small = subject(held_out())
    return render(small, unseen_rows(small_dataset(), small))


def test_only_rows_that_the_model_was_not_trained_on_are_taken() -> None:
    rows = unseen_rows(small_dataset(), subject(held_out()))
    assert len(rows) == len(split_by_time(small_dataset()).test)
    assert f"{len(rows):,} labelled patterns" in page()
    with pytest.raises(TooFewRows, match=r"^5 labelled rows .* 100$"):
        unseen_rows(small_dataset().take(slice(-5, None)), subject(held_out()))


def test_its_metrics_are_those_of_the_training_on_the_same_rows() -> None:
    brier, auc = (held_out().metrics["ml"][metric]["value"] for metric in ("brier", "roc_auc"))
    row = Page(page()).row("ML confidence")
    assert (row[2].split()[0], row[4].split()[0]) == (f"{brier:.4f}", f"{auc:.4f}")


def test_each_score_stands_once() -> None:
    """The card's own metrics, with intervals from other resamples, stay in the card."""
    shown = Page(page())
    for title in ("base rate", "rule", "ML confidence - rule"):
        assert [row[0] for row in shown.rows].count(title) == 1
    assert shown.heads("h3") == [
        "By pattern type", "By timeframe", "By year", "Data", "Split", "Candidates", "Calibration",
        "Intended use and limits", "Parity", "Toolchain",
    ]  # fmt: skip


def test_contributions_are_shown_where_scores_were_explained() -> None:
    assert "Contributions" not in Page(page()).heads("h2")
    parts = [Contribution(name, 0.001, 0.002, 1_234) for name in held_out().feature_names[1:]]
    sure = Contribution("rsi_14", 0.0123, 0.002, 1_234)
    small = replace(subject(held_out()), contributions=(sure, *parts))
    shown = Page(render(small, unseen_rows(small_dataset(), small)))
    start = shown.heads("h2").index("Contributions")
    assert shown.heads("h2")[start + 1] == "Drift since training"
    assert shown.row("rsi_14") == ["rsi_14", "", "0.0123"]
    # Smaller than its standard error, it is not drawn.
    assert [row for row in shown.rows if row[-1] == "0.0010"] == []
    assert "1,234 explained scores" in "".join(shown.heads("p"))


def test_importances_within_the_noise_are_not_drawn() -> None:
    values = {"d": 0.01, "a": 0.03, "b": 0.001, "c": -0.002, "unknown": 0.5, "alone": 0.5}
    errors = {"d": 0.004, "a": 0.01, "b": 0.001, "c": 0.0001, "unknown": None}
    assert above_noise(values, errors) == [("a", 0.03), ("d", 0.01)]
    assert above_noise({}, {}) == []


def test_rows_without_a_rule_confidence_have_a_page_too() -> None:
    small = subject(held_out())
    rows = unseen_rows(small_dataset(), small)
    rows = replace(rows, inputs={**rows.inputs, "rule_confidence": np.full(len(rows), np.nan)})
    shown = Page(render(small, rows))
    assert "Ranking" in shown.heads("h2")
    assert "rule confidence" not in shown.heads("i")
    assert "rule confidence" in Page(page()).heads("i")


@pytest.mark.parametrize(
    ("area", "word"),
    [
        (Interval(0.6, 0.55, 0.65), "above"),
        (Interval(0.4, 0.35, 0.45), "below"),
        (Interval(0.5, 0.45, 0.55), "cannot"),
        (Interval(None, None, None), "undefined"),
    ],
)
def test_a_roc_curve_is_said_to_lie_above_or_below_the_diagonal(area: Interval, word: str) -> None:
    assert word in _against_diagonal(area)


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([0.000153, 0.0000411], ["0.000153", "0.000041"]),
        ([1.47, 0.2], ["1.47", "0.20"]),
        ([12.34, 0.5], ["12.3", "0.5"]),
        ([0.0], ["0"]),
    ],
)
def test_bars_have_labels_of_one_precision(values: list[float], shown: list[str]) -> None:
    drawn = bar_list([("a", value) for value in values])
    assert [bar.label for bar in drawn.bars] == shown


def test_bars_and_marks_share_a_scale() -> None:
    drawn = bar_list([("a", 0.1), ("b", 0.05)], (0.1, 0.2))
    assert [bar.width for bar in drawn.bars] == pytest.approx([50, 25])
    assert drawn.marks == pytest.approx([50, 100])


def test_the_page_is_whole_and_stands_alone() -> None:
    shown = Page(page())
    assert not shown.loads
    assert not {"script", "link", "img", "iframe"} & set(shown.tags)
    assert shown.tags.count("svg") == 5
    assert shown.heads("h2") == [
        "Metrics", "Calibration", "Ranking", "Groups", "Importance", "Drift since training", "Model card",
    ]  # fmt: skip
    assert "prefers-color-scheme: dark" in page()
    assert "nan" not in "".join(re.findall(r'(?:points|d|x|y|cx|cy|width|height|style)="([^"]*)"', page()))


def test_against_another_model_the_difference_is_of_the_same_rows() -> None:
    other = subject(train(small_dataset(), ["logistic"], refit=False, seed=1, size=SMALL, version="plain"))
    small = subject(held_out())
    rows = unseen_rows(small_dataset(), small, other)
    shown = Page(render(small, rows, other))
    a, b = (one.answer(rows)["ml_confidence"].astype(float) for one in (small, other))
    difference = np.mean((a - rows.positive) ** 2 - (b - rows.positive) ** 2)
    assert shown.row("ML confidence - model plain")[2].startswith(f"{difference:.4f} [")


def test_first_passage_stands_beside_it_within_the_horizon_of_the_model() -> None:
    """A file that states another horizon than the labels had, one that states none, and rows that it leaves open."""
    small = subject(held_out())
    rows = unseen_rows(small_dataset(), small)
    rows.inputs["direction"][:7] = 0.0
    answered = rows.take(slice(7, None))
    for stated, horizon in (({"label_horizon": 5}, 5), ({}, HORIZON)):
        metrics = {name: value for name, value in small.metrics.items() if name != "label_horizon"} | stated
        shown = Page(render(replace(small, metrics=metrics), rows))
        brier = np.mean((plain_target(answered.inputs, horizon) - answered.positive) ** 2)
        row = shown.row("first passage")
        assert (row[1], row[2].split()[0]) == (f"{len(answered):,}", f"{brier:.4f}")
        assert [one[0] for one in shown.rows].count("ML confidence - first passage") == 1


HOSTILE = "<script>alert(1)</script>|*x*[a](http://b)<img src=x onerror=y>"


def test_no_value_from_the_database_becomes_markup() -> None:
    card = f"# <b>x\n\n{HOSTILE}\n\n![p](http://b/c.png) <http://b>\n\n| `<i>` |\n|---|\n| a\\|b |"
    importances = {HOSTILE: 1.0, "b": -0.1}
    small = subject(held_out())
    small = replace(
        small,
        version=HOSTILE,
        algorithm=HOSTILE,
        sha256=HOSTILE,
        model_card=card,
        feature_names=[HOSTILE, *small.feature_names[1:]],
        metrics={**small.metrics, "importances": importances, "importance_errors": {HOSTILE: 0.1, "b": 0.1}},
        drift_baseline={"features": {HOSTILE: next(iter(small.drift_baseline["features"].values()))}},
        contributions=(Contribution(HOSTILE, 1.0, 0.1, 7),),
    )
    rows = unseen_rows(small_dataset(), small)
    hostile = np.full(len(rows), HOSTILE, dtype=object)
    text = render(small, replace(rows, inputs={**rows.inputs, "pattern_type": hostile, "timeframe": hostile}), small)
    shown = Page(text)
    assert not {"script", "img", "i onclick", "a", "b"} & set(shown.tags)
    assert not shown.loads
    assert text.count("&lt;script&gt;") > 12
    assert shown.row("a|b") == ["a|b"]


def test_the_curves_are_scikit_learns() -> None:
    rng = np.random.default_rng(3)
    hit = (rng.random(500) < 0.4).astype(float)
    p = np.round(rng.normal(hit, 1.5), 1)
    ones = np.ones(500)
    roc = roc_curve(p, hit, ones)
    area = np.trapezoid(np.append(0, roc), np.linspace(0, 1, 51))
    assert area == pytest.approx(roc_auc_score(hit, p), abs=0.01)
    precision, recall, _ = precision_recall_curve(hit, p)
    given = precision_curve(p, hit, ones)
    for at in (10, 25, 50):
        reached = recall >= at / 50 - 1e-12
        assert given[at - 1] == pytest.approx(precision[reached][-1])
    lift = lift_curve(p, hit, ones)
    assert lift[-1] == pytest.approx(1)
    doubled = np.where(np.arange(500) < 250, 2.0, 0.0)
    np.testing.assert_allclose(roc_curve(p, hit, doubled), roc_curve(p[:250], hit[:250], np.ones(250)))


def test_drift_is_near_zero_where_nothing_moved_and_large_where_something_did() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=4_000).astype(np.float32)
    baseline = histogram(values)
    assert smoothed_psi(baseline, rng.normal(size=4_000).astype(np.float32)) < 0.02
    assert smoothed_psi(baseline, values + 1) > 0.25
    assert smoothed_psi(baseline, np.where(rng.random(4_000) < 0.3, np.nan, values).astype(np.float32)) > 0.25
