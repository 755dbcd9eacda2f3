"""The report: its figures by definition, its rows unseen, its page alone and harmless."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser

import numpy as np
import pytest
from sklearn.metrics import precision_recall_curve, roc_auc_score

from tests.training_support import SMALL, small_dataset
from training.baseline import histogram
from training.errors import TooFewRows
from training.pipeline import Artifact, train
from training.plots import bar_list
from training.report import Subject, lift_curve, markdown, precision_curve, psi, render, roc_curve, rows_for
from training.split import split_by_time


@cache
def small_artifact() -> Artifact:
    """Trained with rows held out, which a report is then made of."""
    return train(small_dataset(), candidate="ensemble", refit=False, seed=3, size=SMALL)


def subject(artifact: Artifact) -> Subject:
    return Subject(
        artifact.version, artifact.onnx, artifact.sha256, artifact.algorithm, artifact.feature_names, artifact.metrics,
        artifact.drift_baseline, artifact.card,
    )  # fmt: skip


@cache
def page() -> str:
    small = subject(small_artifact())
    return render(small, rows_for(small_dataset(), small))


def test_only_rows_that_the_model_did_not_learn_from_are_taken() -> None:
    rows = rows_for(small_dataset(), subject(small_artifact()))
    assert len(rows) == len(split_by_time(small_dataset()).test)
    assert f"{len(rows):,} labelled patterns" in page()
    with pytest.raises(TooFewRows, match=r"5 labelled rows are newer than what .* learnt from; a report needs 100"):
        rows_for(small_dataset().take(slice(-5, None)), subject(small_artifact()))


def test_its_metrics_are_those_of_the_training_on_the_same_rows() -> None:
    for metric in ("brier", "roc_auc"):
        assert f"{small_artifact().metrics['ml'][metric]['value']:.4f} [" in page()


def test_contributions_are_shown_where_scores_were_explained() -> None:
    assert "Contributions" not in page()
    parts = dict.fromkeys(small_artifact().feature_names, 0.001) | {"rsi_14": 0.0123}
    small = replace(subject(small_artifact()), contributions=parts, explained=1_234)
    text = render(small, rows_for(small_dataset(), small))
    assert "on the average of 1,234 explained scores; the 20 largest of 112" in text
    assert re.search(r">rsi_14</text>.*?>0\.0123</text>", text)


def test_rows_without_a_rule_confidence_have_a_page_too() -> None:
    small = subject(small_artifact())
    rows = rows_for(small_dataset(), small)
    rows = replace(rows, inputs={**rows.inputs, "rule_confidence": np.full(len(rows), np.nan)})
    text = render(small, rows)
    assert "<h2>Lift</h2>" in text
    assert "rule confidence</span>" not in text
    assert "rule confidence</span>" in page()


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([0.000153, 0.0000411], [">0.000153<", ">0.000041<"]),
        ([1.47, 0.2], [">1.47<", ">0.20<"]),
        ([12.34, -0.5], [">+12.3<", ">-0.5<"]),
        ([0.0], [">0<"]),
    ],
)
def test_bars_say_their_values_alike(values: list[float], shown: list[str]) -> None:
    drawn = bar_list([("a", value) for value in values], "Bars")
    assert [text for text in shown if text not in drawn] == []


def test_the_page_is_whole_and_stands_alone() -> None:
    class Outline(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.tags: list[str] = []
            self.loads: list[str] = []

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.tags.append(tag)
            self.loads += [name for name, _ in attrs if name in ("src", "href", "onload", "onclick")]

    outline = Outline()
    outline.feed(page())
    assert not outline.loads
    assert not {"script", "link", "img", "iframe"} & set(outline.tags)
    assert outline.tags.count("svg") == 7
    assert re.findall("<h2>([^<]*)</h2>", page()) == [
        "Metrics", "Calibration", "ROC, precision and recall", "Lift", "By pattern type", "By timeframe", "By year",
        "Importance", "Drift since training", "Model card",
    ]  # fmt: skip
    assert "nan" not in "".join(re.findall(r'(?:points|d|x|y|cx|cy|width|height)="([^"]*)"', page()))


def test_against_another_model_the_difference_is_of_the_same_rows() -> None:
    other = subject(train(small_dataset(), ["logistic"], refit=False, seed=1, size=SMALL, version="plain"))
    small = subject(small_artifact())
    rows = rows_for(small_dataset(), small, other)
    text = render(small, rows, other)
    a, b = (s.answer(rows)["ml_confidence"].astype(float) for s in (small, other))
    difference = np.mean((a - rows.positive) ** 2 - (b - rows.positive) ** 2)
    assert f"<td>model - plain</td><td>{difference:.4f} [" in text


def test_what_a_model_says_of_itself_cannot_become_markup() -> None:
    small = replace(
        subject(small_artifact()), version="<script>x</script>", card="# <b>x\n\n| `<i>` |\n|---|\n| a\\|b |"
    )
    rows = rows_for(small_dataset(), small)
    kinds = np.full(len(rows), "<img src=x>", dtype=object)
    text = render(small, replace(rows, inputs={**rows.inputs, "pattern_type": kinds}))
    for tag in ("<script", "<img", "<i>"):
        assert tag not in text
    assert "<td>a|b</td>" in text


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


def test_drift_is_nought_where_nothing_moved_and_seen_where_something_did() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=4_000).astype(np.float32)
    baseline = histogram(values)
    assert psi(baseline, rng.normal(size=4_000).astype(np.float32)) < 0.02
    assert psi(baseline, values + 1) > 0.25
    assert psi(baseline, np.where(rng.random(4_000) < 0.3, np.nan, values).astype(np.float32)) > 0.25


def test_the_card_is_rendered() -> None:
    assert markdown("# A\n\n- x `y`\n- z\n\n**b**") == (
        "<h3>A</h3><ul><li>x <code>y</code>\n</li><li>z</li></ul><p><b>b</b></p>"
    )
