"""The choice: forward in time, by blocks, and simple unless rows show otherwise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.training_support import SMALL, small_dataset, small_rows
from training import candidates
from training.blocks import blocks_of
from training.candidates import Evidence, Said, choose, forward, refit, slope_of
from training.correction import CANDIDATES, Ensemble, Rows
from training.learners import Recipe
from training.simulate import World, run, summary, synthetic
from training.split import split_by_time

RECIPE = Recipe(("logistic",), seed=3, size=SMALL)
Floats = NDArray[np.float64]


def test_each_row_is_answered_by_what_was_known_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    data, rows = small_dataset(), small_rows()
    folds = split_by_time(data, test_share=0.0).folds
    found = forward(rows, folds, RECIPE)
    assert list(found.answers) == list(CANDIDATES)
    later = folds[-1].later
    # Other outcomes from the last fold on change no answer.
    outcome = rows.outcome.copy()
    outcome[data.horizon_at >= folds[-1].boundary] = 0
    again = forward(Rows(rows.features, outcome, rows.weight), folds, RECIPE)
    for name in CANDIDATES:
        np.testing.assert_array_equal(again.answers[name], found.answers[name])
    assert len(later) > 0
    # And those of the first fold's later rows change what comes after, where anything is learned.
    outcome = rows.outcome.copy()
    outcome[folds[0].later] = 2
    changed = forward(Rows(rows.features, outcome, rows.weight), folds, RECIPE)
    assert not np.array_equal(changed.answers["ridge"], found.answers["ridge"])
    np.testing.assert_array_equal(changed.answers["first_passage"], found.answers["first_passage"])


def test_the_first_fold_of_the_ensemble_is_first_passage() -> None:
    folds = split_by_time(small_dataset(), test_share=0.0).folds
    found = forward(small_rows(), folds, RECIPE, names=("first_passage", "ensemble"))
    first = len(folds[0].later)
    plain, learned = (found.answers[name][:, 2] for name in ("first_passage", "ensemble"))
    np.testing.assert_allclose(learned[:first], plain[:first], atol=1e-6)
    assert np.abs(learned[first:] - plain[first:]).max() > 0.01


def test_a_slope_comes_only_from_rows_known_by_then() -> None:
    rows = small_rows()
    said = (Said(np.arange(100, 200), np.full(100, 0.5)),)
    assert slope_of(rows, said, np.arange(100)) == 0.0
    better = (Said(np.arange(100, 200), rows.hit[100:200] - 0.5),)
    assert slope_of(rows, better, np.arange(150)) > 0.0


def _evidence(*losses: Floats) -> Evidence:
    """Answers whose Brier losses, with outcomes of 0, are ``losses``."""
    names = CANDIDATES[: len(losses)]
    answers = {
        name: np.stack([1 - np.sqrt(loss), np.zeros_like(loss), np.sqrt(loss)], axis=1)
        for name, loss in zip(names, losses, strict=True)
    }
    return Evidence(np.arange(len(losses[0])), answers, (), {})


def _choice(gain: float, clustered: bool, **options: Any) -> candidates.Choice:
    """Recalibrated is better by ``gain`` on the average, with noise that ten rows of a block share or not."""
    rng = np.random.default_rng(1)
    noise = np.repeat(rng.normal(0, 0.03, 40), 10) if clustered else rng.normal(0, 0.03, 400)
    first = np.full(400, 0.25)
    evidence = _evidence(first, first - gain + noise - noise.mean())
    return choose(evidence, np.zeros(400, np.int8), np.repeat(np.arange(40), 10), **options)


def test_the_simplest_within_one_error_by_blocks_is_kept() -> None:
    # Errors by rows are 0.0015, by blocks of shared noise 0.0047.
    assert _choice(0.003, clustered=False).kept == "recalibrated"
    assert _choice(0.003, clustered=True).kept == "first_passage"
    assert _choice(0.008, clustered=True).kept == "recalibrated"
    assert _choice(-0.003, clustered=False).kept == "first_passage"
    found = _choice(0.003, clustered=True).to_dict()
    assert (found["best"], found["reason"]) == ("recalibrated", "simplest_within_error")
    against = found["compared"][1]["minus_first_passage"]
    assert against["value"] == pytest.approx(-0.003)
    assert against["low"] < -0.003 < 0 < against["high"]


def test_a_name_overrules_and_is_said_to() -> None:
    found = _choice(0.003, clustered=True, candidate="recalibrated").to_dict()
    assert (found["kept"], found["best"], found["reason"]) == ("recalibrated", "recalibrated", "by_name")


def test_one_block_decides_nothing() -> None:
    evidence = _evidence(np.full(50, 0.25), np.full(50, 0.20))
    assert choose(evidence, np.zeros(50, np.int8), np.zeros(50, np.int64)).kept == "first_passage"


def test_the_kept_recipe_is_fitted_on_every_row() -> None:
    data, rows = small_dataset(), small_rows()
    folds = split_by_time(data, test_share=0.0).folds
    evidence = forward(rows, folds, RECIPE)
    every = np.arange(len(rows))
    found = refit(rows, every, "ensemble", RECIPE, evidence.said)
    assert isinstance(found.correction, Ensemble)
    assert found.correction.slope == slope_of(rows, evidence.said, every) > 0
    ridge = refit(rows, every, "ridge", RECIPE, ())
    assert not np.array_equal(ridge.answer(rows.features), evidence.last["ridge"].answer(rows.features))
    assert choose(evidence, rows.outcome[evidence.judged], blocks_of(data)[evidence.judged]).kept == "ridge"


def test_over_many_draws_first_passage_is_kept_and_what_was_planted_is_found() -> None:
    """The small version of ``python -m training.simulate``: 40 draws each way on 8,000 rows."""
    quiet, loud = (World.of(*synthetic(8_000, seed=1, bars=3_000), effect) for effect in (0.0, 0.006))
    rng = np.random.default_rng(2)
    nothing = [run(quiet, None, rng) for _ in range(40)]
    print(summary(nothing))
    assert np.mean([one.kept == "first_passage" for one in nothing]) >= 0.75
    assert np.mean([one.surely_better for one in nothing]) <= 0.075
    assert np.mean([one.regret for one in nothing]) <= 0.0003
    planted = [run(loud, None, rng) for _ in range(20)]
    print(summary(planted))
    assert np.mean([one.kept == "ridge" for one in planted]) >= 0.8
    assert np.mean([one.regret for one in planted]) < -0.001
