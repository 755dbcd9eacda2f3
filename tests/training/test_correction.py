"""The corrections: the best under their priors, level-free, and in order whatever was learned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit, logit

from tests.training_support import HORIZON, SMALL, dataset, small_candidate, small_dataset, small_model, small_rows
from training.candidates import fit_simple
from training.correction import (
    CANDIDATES,
    DIRECTED,
    NEITHER,
    STOP,
    TARGET,
    USED,
    Ensemble,
    Fitted,
    Line,
    Recalibrated,
    Ridge,
    Rows,
    directed,
    log_odds,
)
from training.estimation import LINE_SPREAD, RIDGE_SPREADS, fit_ensemble, fit_line, fit_log_odds, fit_ridge, fit_slope
from training.export import FittedModel, to_float32
from training.features import FEATURE_NAMES, LEVEL_FREE, compute
from training.learners import Recipe
from training.simulate import synthetic

Floats = NDArray[np.float64]
MODELS: dict[str, Callable[[], FittedModel]] = {
    **{name: partial(small_candidate, name) for name in CANDIDATES[:-1]},
    "ensemble": small_model,
}


def _rows(rows: int = 4_000, seed: int = 0) -> Rows:
    """Rows whose outcome is drawn from first passage, independently."""
    _, features = synthetic(rows, seed=seed, bars=500)
    rng = np.random.default_rng(seed + 1)
    drawn = rng.random(rows)
    q = features[:, [STOP, NEITHER, TARGET]].cumsum(axis=1)
    return Rows(features, (drawn[:, None] > q[:, :2]).sum(axis=1).astype(np.int8), 1.0)


def test_the_maximum_is_one_and_the_evidence_is_that_of_the_integral() -> None:
    rng = np.random.default_rng(0)
    offset, design, hit = rng.normal(size=60), rng.normal(size=(60, 1)), rng.integers(0, 2, 60).astype(np.float64)
    precision = np.array([4.0])

    def value(b: Floats) -> Floats:
        z = offset[:, None] + design @ b[None]
        fit = 0.5 * np.sum(hit[:, None] * z - np.logaddexp(0, z), axis=0)
        return np.asarray(fit - precision[0] * b**2 / 2)

    found = fit_log_odds(offset, design, hit, precision, 0.5)
    grid = np.linspace(-4, 4, 80_001)
    assert found.parameters[0] == pytest.approx(grid[np.argmax(value(grid))], abs=1e-3)
    integral = np.log(np.sum(np.exp(value(grid))) * 1e-4) + np.log(precision[0] / (2 * np.pi)) / 2
    assert found.evidence == pytest.approx(integral, abs=0.02)


def test_a_line_mends_a_known_distortion_and_leaves_what_is_right() -> None:
    rows = _rows(20_000)
    right = fit_line(rows.offset, rows.hit, 1.0)
    assert abs(right.intercept) < 0.08
    assert abs(right.slope) < 0.08
    # Of first passage twice as sure as it should be.
    wrong = fit_line(2 * rows.offset, rows.hit, 1.0)
    assert wrong.slope == pytest.approx(-0.5, abs=0.05)
    # Few rows stay within the prior.
    few = fit_line(2 * rows.offset[:20], rows.hit[:20], 1.0)
    assert abs(few.slope) < 2 * LINE_SPREAD
    assert fit_line(np.empty(0), np.empty(0), 1.0).of(1.0) == 0


def test_labels_that_overlap_say_less() -> None:
    rows = _rows(2_000)
    whole, tenth = (abs(fit_line(2 * rows.offset, rows.hit, weight).slope) for weight in (1.0, 0.1))
    assert tenth < 0.8 * whole


@pytest.mark.parametrize("name", ["first_passage", "ridge"])
def test_rows_that_nothing_moves_give_a_correction_near_nothing(name: str) -> None:
    rows = replace(_rows(), weight=0.1)
    answer = fit_simple(rows, (name,))[name].answer(rows.features)
    assert np.abs(answer[:, 2] - rows.features[:, TARGET]).mean() < 0.02


def test_the_ridge_takes_the_spread_that_rows_ask_for() -> None:
    rows = _rows()
    quiet = fit_ridge(rows)
    strength = 0.3 * directed(rows.features, np)[:, :5].sum(axis=1)
    drawn = np.random.default_rng(3).random(len(rows)) < expit(rows.offset + strength)
    loud = fit_ridge(replace(rows, outcome=np.where(drawn, 2, 0).astype(np.int8)))
    assert (quiet.spread, loud.spread) == (RIDGE_SPREADS[0], RIDGE_SPREADS[-1])
    assert loud.weights[0, :5].min() > 0.15
    assert np.abs(loud.weights[0, 5:]).max() < 0.1


def test_the_ridge_holds_far_values_and_takes_an_absent_one_at_the_mean() -> None:
    found = fit_ridge(_rows())
    features = _rows().features[:3].copy()
    column = FEATURE_NAMES.index("directed_momentum")
    features[:, column] = [np.nan, 1e9, np.inf]
    standard = found.standard(features, np)
    assert standard[:, list(DIRECTED).index("directed_momentum")].tolist() == [0.0, 4.0, 4.0]


def test_directed_features_turn_with_the_direction() -> None:
    features = _rows().features[:1].copy()
    features[0, FEATURE_NAMES.index("rsi_14")] = 70.0
    for direction in (1.0, -1.0):
        features[0, FEATURE_NAMES.index("direction")] = direction
        assert directed(features, np)[0, list(DIRECTED).index("rsi_14")] == 20.0 * direction


def test_a_slope_is_what_unseen_rows_prove_and_never_below_nothing() -> None:
    rows = _rows(20_000)
    said = np.random.default_rng(5).normal(0, 0.5, len(rows))
    hit = (np.random.default_rng(6).random(len(rows)) < expit(rows.offset + 0.4 * said)).astype(np.float64)
    assert fit_slope(rows.offset, said, hit, 1.0) == pytest.approx(0.4, abs=0.08)
    assert fit_slope(rows.offset, -said, hit, 1.0) == 0.0
    assert fit_slope(rows.offset[:0], said[:0], hit[:0], 1.0) == 0.0


def test_a_newton_step_solves_the_weighted_least_squares() -> None:
    rows = _rows(500)
    target, weight = rows.newton()
    q = np.clip(rows.features[:, TARGET], 0.02, 0.98)
    np.testing.assert_allclose(target * weight, rows.hit - q, atol=1e-12)
    np.testing.assert_allclose(weight, q * (1 - q))


def test_log_odds_are_held_at_the_edges_and_nan_stays() -> None:
    found = log_odds(np.array([0.0, 0.3, 1.0, np.nan]), np)
    np.testing.assert_allclose(found[:3], [logit(1e-6), logit(0.3), -logit(1e-6)], atol=1e-9)
    assert np.isnan(found[3])


def test_learners_see_no_feature_with_a_level() -> None:
    rows = small_rows()
    ensemble = fit_ensemble(rows, Recipe(("random_forest", "logistic"), seed=1, size=SMALL))
    changed = rows.features.copy()
    changed[:, ~USED] = np.random.default_rng(0).normal(size=(len(rows), int((~USED).sum())))
    np.testing.assert_array_equal(ensemble.correction(changed), ensemble.correction(rows.features))
    assert set(DIRECTED) <= set(LEVEL_FREE)


@pytest.mark.parametrize("name", CANDIDATES)
def test_each_end_is_less_likely_the_farther_it_is_and_likelier_the_farther_the_other_is(name: str) -> None:
    """Whatever was learned."""
    model, data = MODELS[name](), small_dataset().take(slice(0, 40))
    last, side = data.inputs["bars"][:, -1, 3], data.inputs["direction"]
    for column, sign in ((2, 1), (4, -1)):
        answers = []
        for step in np.linspace(0.005, 0.15, 25):
            levels = data.inputs["levels"].copy()
            levels[:, [2, 4]] = last[:, None] * (1 + side[:, None] * np.array([0.03, -0.03]))
            levels[:, column] = last * (1 + sign * side * step)
            answers.append(model.answer({**data.inputs, "levels": levels})["probabilities"].astype(np.float64))
        steps = -sign * np.diff(np.array(answers), axis=0)
        for rises in (steps[:, :, 2], -steps[:, :, 0]):
            assert rises.min() >= -1e-6
            assert rises.max() > 0.01


@pytest.mark.parametrize("name", CANDIDATES)
def test_three_probabilities_sum_to_one(name: str) -> None:
    answer = MODELS[name]().answer(small_dataset().inputs)["probabilities"]
    np.testing.assert_allclose(answer.sum(axis=1), 1, atol=1e-6)
    assert answer.min() >= 0


def test_what_moves_the_target_moves_the_stop_by_the_same_log_odds() -> None:
    rows = small_rows()
    answer = Fitted(Recalibrated(Line(0.7, 0.2, 0.1))).answer(rows.features)
    stop, _, target = rows.features[:, [STOP, NEITHER, TARGET]].T
    for before, after in ((target, answer[:, 2]), (1 - stop, 1 - answer[:, 0])):
        z = log_odds(before, np)
        np.testing.assert_allclose(logit(after), z + 0.7 + 0.2 * (z - 0.1), atol=1e-5)


@pytest.mark.parametrize("name", CANDIDATES)
def test_a_row_without_first_passage_is_not_answered_at_all(name: str) -> None:
    inputs = small_dataset().take(slice(0, 20)).inputs
    direction = inputs["direction"].copy()
    direction[:5] = 0.0
    answer = MODELS[name]().answer({**inputs, "direction": direction})
    for output in ("ml_confidence", "probabilities"):
        assert np.isnan(answer[output][:5]).all()
        assert np.isfinite(answer[output][5:]).all()


def test_types_of_corrections() -> None:
    assert isinstance(small_candidate("ridge").fitted.correction, Ridge)
    assert isinstance(small_model().fitted.correction, Ensemble)
    # What is read at serving is what the features say, by the same horizon.
    other = replace(small_candidate("first_passage"), horizon=5)
    inputs = dataset(50).inputs
    features = to_float32(compute(inputs, np, 5))
    np.testing.assert_array_equal(other.answer(inputs)["ml_confidence"], features[:, TARGET])
    assert HORIZON != 5
