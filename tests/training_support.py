"""Synthetic patterns for the training tests: seeded random walks whose outcome depends on momentum and the rule."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from _pytest.mark import ParameterSet
from numpy.typing import NDArray

from training.calibrate import fit_calibration
from training.dataset import Dataset
from training.export import Exported, FittedModel, export
from training.features import compute
from training.learners import DEFAULT, Combine, fit_ensemble
from training.pipeline import Artifact, train

DAY_S = 86_400
OPTIONAL = frozenset({"xgboost", "lightgbm"})
"""Learners whose libraries requirements.lock leaves to requirements-slow.lock."""
SMALL = 0.03
"""Nine trees and four rounds."""


def dataset(rows: int = 1_200, seed: int = 1) -> Dataset:
    """Patterns over about three years, with short histories and missing levels, rules and context among them."""
    rng = np.random.default_rng(seed)
    bars = _bars(rng, rows)
    last = bars[:, -1, 3]
    width = rng.uniform(0.01, 0.05, rows)
    levels = last[:, None] * np.stack(
        [np.full(rows, 0.97), np.full(rows, 1.03), 1 + width, np.ones(rows), 1 - width], axis=1
    )
    rule = rng.uniform(0.05, 0.95, rows)
    pull = 8 * (last / bars[:, -21, 3] - 1) + 1.5 * (rule - 0.5) + rng.logistic(0, 0.5, rows)
    for row in np.flatnonzero(rng.random(rows) < 0.1):
        bars[row, : rng.integers(1, 90)] = np.nan
    levels[rng.random(rows) < 0.1, 2] = np.nan
    rule[rng.random(rows) < 0.05] = np.nan
    detected_at = np.sort(rng.integers(1_300_000_000, 1_400_000_000, rows))
    context = np.full((rows, 6), np.nan)
    context[:, 1] = rng.uniform(10, 40, rows)
    names = np.array(["flag", "wedge", "double_top"], dtype=object)
    return Dataset(
        inputs={
            "bars": bars,
            "market_bars": _bars(rng, rows),
            "levels": levels,
            "rule_confidence": rule,
            "direction": rng.choice([-1.0, 1.0], rows),
            "duration_s": rng.uniform(1e4, 1e6, rows),
            "pattern_type": rng.choice(names, rows),
            "timeframe": np.full(rows, "1d", dtype=object),
            "detected_at": detected_at,
            "context": context,
            "history": np.stack([rng.uniform(0.2, 0.6, rows), rng.integers(1, 500, rows).astype(float)], axis=1),
        },
        outcome=np.where(pull > 0.25, 2, np.where(pull < -0.1, 0, 1)).astype(np.int8),
        detected_at=detected_at,
        outcome_at=detected_at + rng.integers(DAY_S, 20 * DAY_S, rows),
        pattern_id=np.array([f"pattern {row}" for row in range(rows)], dtype=object),
        symbol=rng.choice(np.array(["AAA", "BBB"], dtype=object), rows),
    )


def _bars(rng: np.random.Generator, rows: int) -> NDArray[np.float64]:
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, (rows, 128)), axis=1))
    opened = close * np.exp(rng.normal(0, 0.002, close.shape))
    high, low = np.maximum(opened, close) * 1.003, np.minimum(opened, close) * 0.997
    return np.stack([opened, high, low, close, rng.lognormal(10, 1, close.shape)], axis=2)


def learner_case(models: tuple[str, ...], *others: object) -> ParameterSet:
    """Arguments of a parametrized test, marked ``slow`` when they need a library that only slow tests have."""
    return pytest.param(models, *others, marks=[pytest.mark.slow] if OPTIONAL & set(models) else [])


@cache
def small_dataset() -> Dataset:
    """One dataset that the tests share; nobody changes it."""
    return dataset()


@cache
def small_features() -> NDArray[np.float64]:
    """Its features."""
    return np.asarray(compute(small_dataset().inputs, np, small_dataset().horizon))


def fit_small(
    outcome: NDArray[np.int8] | None = None, models: tuple[str, ...] = DEFAULT, combine: Combine = "vote"
) -> FittedModel:
    """A few trees fitted on two thirds of the shared rows, calibrated on the rest."""
    outcome = small_dataset().outcome if outcome is None else outcome
    ensemble = fit_ensemble(small_features()[:800], outcome[:800], models, seed=3, size=SMALL, combine=combine)
    return FittedModel(ensemble, fit_calibration(ensemble.probabilities(small_features()[800:]), outcome[800:]))


@cache
def small_model(models: tuple[str, ...] = DEFAULT, combine: Combine = "vote") -> FittedModel:
    """:func:`fit_small` once, for all who do not change it."""
    return fit_small(models=models, combine=combine)


@cache
def small_export(models: tuple[str, ...] = DEFAULT, combine: Combine = "vote") -> Exported:
    """The file of :func:`small_model`."""
    return export(small_model(models, combine))


@cache
def small_artifact() -> Artifact:
    """The shared rows, trained."""
    return train(small_dataset(), seed=3, size=SMALL)
