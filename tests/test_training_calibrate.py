"""Calibration: mends what it should, answers the class shares where there is no skill, and is the same in the graph."""

from __future__ import annotations

import ndonnx as ndx
import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import log_loss

from training.calibrate import BIAS_SPREAD, IDENTITY, SPREAD, Calibration, fit_calibration, log_shares, log_smoothed
from training.session import open_session


def _draw(rows: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    """True probabilities and outcomes drawn from them."""
    rng = np.random.default_rng(seed)
    true = rng.dirichlet([2.0, 1.0, 2.0], rows)
    return true, (rng.random((rows, 1)) > true.cumsum(axis=1)[:, :2]).sum(axis=1).astype(np.int8)


def _loss(probabilities: NDArray[np.float64], outcome: NDArray[np.int8]) -> float:
    return float(log_loss(outcome, probabilities, labels=[0, 1, 2]))


def test_a_known_distortion_is_undone() -> None:
    true, outcome = _draw(20_000, 1)
    slopes, biases = np.array([2.0, 1.0, 1.25]), np.array([0.5, 0.0, -0.5])
    distorted = true**slopes * np.exp(biases)
    distorted /= distorted.sum(axis=1, keepdims=True)
    fitted = fit_calibration(distorted, outcome)
    np.testing.assert_allclose(fitted.slope, 1 / slopes, atol=0.12)
    fresh_true, fresh_outcome = _draw(20_000, 2)
    fresh = fresh_true**slopes * np.exp(biases)
    fresh /= fresh.sum(axis=1, keepdims=True)
    assert _loss(fitted.apply(fresh, np), fresh_outcome) < _loss(fresh, fresh_outcome) - 0.05
    assert _loss(fitted.apply(fresh, np), fresh_outcome) < _loss(fresh_true, fresh_outcome) + 0.005


def test_few_rows_do_little_harm_to_what_was_calibrated() -> None:
    fresh, fresh_outcome = _draw(20_000, 99)
    harm = [
        _loss(fit_calibration(*_draw(200, seed)).apply(fresh, np), fresh_outcome) - _loss(fresh, fresh_outcome)
        for seed in range(20)
    ]
    assert np.mean(harm) < 0.015
    assert max(harm) < 0.05


def test_a_class_absent_from_the_rows_keeps_a_finite_bias() -> None:
    true, outcome = _draw(300, 5)
    fitted = fit_calibration(true, np.where(outcome == 1, 0, outcome).astype(np.int8))
    assert np.isfinite(fitted.bias).all()
    assert (fitted.apply(true, np)[:, 1] > 0).all()


def test_a_handful_of_rows_stays_near_the_class_shares() -> None:
    sure = np.array([[0.9, 0.05, 0.05], [0.05, 0.9, 0.05], [0.05, 0.05, 0.9]])
    fitted = fit_calibration(sure, np.array([0, 1, 2], np.int8))
    # Without the pull to no skill, rows all explained send the slopes to their bound.
    assert max(fitted.slope) < 0.4
    np.testing.assert_allclose(fitted.apply(sure, np), 1 / 3, atol=0.3)


@pytest.mark.parametrize("seed", range(5))
def test_an_ensemble_without_skill_is_answered_by_the_class_shares(seed: int) -> None:
    """However sure it is: what it says has nothing to do with what comes."""
    rng = np.random.default_rng(seed)
    noise = rng.dirichlet([8.0, 0.5, 8.0], 1_500)
    outcome = rng.choice(3, 1_500, p=[0.48, 0.02, 0.5]).astype(np.int8)
    answer = fit_calibration(noise, outcome).apply(noise, np)
    shares = np.bincount(outcome, minlength=3) / len(outcome)
    assert noise[:, 2].std() > 0.1
    assert answer[:, 2].std() < 0.02
    np.testing.assert_allclose(answer.mean(axis=0), shares, atol=0.003)


def test_an_ensemble_that_is_wrong_is_not_believed_the_other_way_round() -> None:
    true, outcome = _draw(2_000, 4)
    fitted = fit_calibration(true[:, ::-1], outcome)
    assert (fitted.slope[0], fitted.slope[2]) == (0, 0)
    # What it says of the class in the middle is right, and is used.
    assert fitted.slope[1] > 0.5


def test_a_timid_ensemble_is_stretched() -> None:
    true, outcome = _draw(2_000, 6)
    timid = true**0.2 / np.sum(true**0.2, axis=1, keepdims=True)
    fitted = fit_calibration(timid, outcome)
    assert min(fitted.slope) > 2
    assert _loss(fitted.apply(timid, np), outcome) < _loss(true, outcome) + 0.03


def test_the_fit_is_the_best_under_its_penalty() -> None:
    true, outcome = _draw(60, 8)
    distorted = true**2 / np.sum(true**2, axis=1, keepdims=True)
    middle = log_smoothed(distorted, np).mean(axis=0)

    def objective(parameters: NDArray[np.float64]) -> float:
        slope, centred = parameters[:3], parameters[3:]
        applied = Calibration(tuple(slope), tuple(centred - slope * middle)).apply(distorted, np)
        pull = slope @ slope / SPREAD**2 + np.sum((centred - log_shares(outcome)) ** 2) / BIAS_SPREAD**2
        return float(-np.log(applied[np.arange(60), outcome]).sum() + pull / 2)

    fitted = fit_calibration(distorted, outcome)
    best = np.array([*fitted.slope, *(np.array(fitted.bias) + np.array(fitted.slope) * middle)])
    assert min(fitted.slope) > 0.01
    for step in (*np.eye(6) * 0.01, *np.eye(6) * -0.01):
        assert objective(best + step) > objective(best)


def test_stacked_members_are_weighed_by_what_they_proved_worth() -> None:
    true, outcome = _draw(4_000, 11)
    noise = np.random.default_rng(12).dirichlet([2.0, 1.0, 2.0], 4_000)
    fitted = fit_calibration(np.concatenate([noise, true], axis=1), outcome)
    assert max(fitted.slope[:3]) < 0.15
    assert min(fitted.slope[3:]) > 0.7
    # Two that say the same share what one would get.
    twice = fit_calibration(np.concatenate([true, true], axis=1), outcome)
    np.testing.assert_allclose(np.reshape(twice.slope, (2, 3)).sum(axis=0), fit_calibration(true, outcome).slope, 1e-3)
    fresh, fresh_outcome = _draw(20_000, 13)
    answer = fitted.apply(np.concatenate([noise[:1].repeat(20_000, axis=0), fresh], axis=1), np)
    assert _loss(answer, fresh_outcome) < _loss(fresh, fresh_outcome) + 0.01


def test_no_rows_make_every_class_as_likely() -> None:
    fitted = fit_calibration(np.empty((0, 3)), np.empty(0, np.int8))
    np.testing.assert_allclose(fitted.apply(np.array([[0.9, 0.1, 0.0]]), np), 1 / 3)


def test_rows_sum_to_one_even_at_the_edges() -> None:
    extreme = np.array([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0], [0.5, 0.5, 0]])
    for calibration in (
        IDENTITY,
        Calibration((4.5,) * 3, (4.0, -4.0, 0.0)),
        Calibration((0.05, 4.5, 1.0), (0.0, 0.0, 4.0)),
    ):
        answer = calibration.apply(extreme, np)
        assert np.isfinite(answer).all()
        np.testing.assert_allclose(answer.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(IDENTITY.apply(extreme, np), extreme, atol=2e-3)


def test_the_graph_calibrates_as_numpy_does() -> None:
    true, _ = _draw(500, 7)
    calibration = Calibration((0.7, 1.2, 0.9), (0.3, -0.2, 0.1))
    argument = ndx.argument(shape=("N", 3), dtype=ndx.float64)
    graph = ndx.build({"p": argument}, {"q": calibration.apply(argument, ndx)})
    (answer,) = open_session(graph.SerializeToString()).run(["q"], {"p": true})
    np.testing.assert_allclose(answer, calibration.apply(true, np), rtol=1e-12)
