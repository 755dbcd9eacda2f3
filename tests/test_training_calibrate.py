"""Calibration: mends what it should, harms little where there is nothing to mend, and is the same in the graph."""

from __future__ import annotations

import ndonnx as ndx
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import log_loss

from training.calibrate import IDENTITY, SPREAD, Calibration, fit_calibration
from training.verify import open_session


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


def test_a_handful_of_rows_stays_near_the_identity() -> None:
    sure = np.array([[0.9, 0.05, 0.05], [0.05, 0.9, 0.05], [0.05, 0.05, 0.9]])
    fitted = fit_calibration(sure, np.array([0, 1, 2], np.int8))
    # Without the pull to the identity, rows all explained send the slopes to their bound.
    np.testing.assert_allclose(fitted.slope, 1, atol=0.2)
    np.testing.assert_allclose(fitted.bias, 0, atol=0.2)


def test_the_fit_is_the_best_under_its_penalty() -> None:
    true, outcome = _draw(60, 8)
    distorted = true**2 / np.sum(true**2, axis=1, keepdims=True)

    def objective(parameters: NDArray[np.float64]) -> float:
        applied = Calibration(tuple(parameters[:3]), tuple(parameters[3:])).apply(distorted, np)
        away = parameters - [1, 1, 1, 0, 0, 0]
        return float(-np.log(applied[np.arange(60), outcome]).sum() + away @ away / (2 * SPREAD**2))

    fitted = fit_calibration(distorted, outcome)
    best = np.array([*fitted.slope, *fitted.bias])
    for step in (*np.eye(6) * 0.01, *np.eye(6) * -0.01):
        assert objective(best + step) > objective(best)


def test_no_rows_give_the_identity() -> None:
    assert fit_calibration(np.empty((0, 3)), np.empty(0, np.int8)) == IDENTITY


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
