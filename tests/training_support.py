"""Synthetic patterns for the training tests: seeded random walks whose outcome depends on momentum and the rule."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from _pytest.mark import ParameterSet
from numpy.typing import NDArray

from db_functions.contract import DEFAULT_HORIZON
from training.blocks import uniqueness
from training.candidates import fit_simple
from training.correction import Ensemble, Fitted, Rows
from training.dataset import Dataset
from training.estimation import fit_ensemble
from training.export import Exported, FittedModel, export, to_float32
from training.features import compute, compute_first_passage
from training.learners import Recipe
from training.pipeline import Artifact, train
from training.regressors import DEFAULT

DAY_S = 86_400
OPTIONAL = frozenset({"xgboost", "lightgbm"})
"""Learners whose libraries requirements.lock leaves to requirements-slow.lock."""
SMALL = 0.03
"""Nine trees and four rounds."""


HORIZON = DEFAULT_HORIZON


def dataset(rows: int = 1_200, seed: int = 1, strength: float = 1.0) -> Dataset:
    """Patterns over about three years, with short histories and missing levels, rules and context among them.

    Outcomes are drawn from first passage, moved in log-odds by momentum and the rule, ``strength`` times.
    """
    rng = np.random.default_rng(seed)
    bars = _bars(rng, rows)
    last = bars[:, -1, 3].copy()
    direction = rng.choice([-1.0, 1.0], rows)
    # Target above and stop below a bullish pattern, the other way round under a bearish one.
    ahead = direction[:, None] * np.array([1, -1]) * rng.uniform(0.01, 0.05, (rows, 2))
    ones = np.ones(rows)
    levels = last[:, None] * np.stack([0.97 * ones, 1.03 * ones, 1 + ahead[:, 0], ones, 1 + ahead[:, 1]], axis=1)
    rule = rng.uniform(0.05, 0.95, rows)
    moved = strength * (12 * direction * (last / bars[:, -21, 3] - 1) + 2 * (rule - 0.5))
    for row in np.flatnonzero(rng.random(rows) < 0.1):
        bars[row, : rng.integers(1, 90)] = np.nan
    levels[rng.random(rows) < 0.1, 2] = np.nan
    rule[rng.random(rows) < 0.05] = np.nan
    detected_at = np.sort(rng.integers(1_300_000_000, 1_400_000_000, rows))
    context = np.full((rows, 6), np.nan)
    context[:, 1] = rng.uniform(10, 40, rows)
    names = np.array(["flag", "wedge", "double_top"], dtype=object)
    inputs = {
        "bars": bars,
        "market_bars": _bars(rng, rows),
        "levels": levels,
        "rule_confidence": rule,
        "direction": direction,
        "duration_s": rng.uniform(1e4, 1e6, rows),
        "pattern_type": rng.choice(names, rows),
        "timeframe": np.full(rows, "1d", dtype=object),
        "detected_at": detected_at,
        "context": context,
        "history": np.stack([rng.uniform(0.2, 0.6, rows), rng.integers(1, 500, rows).astype(float)], axis=1),
    }
    window = 28 * DAY_S
    return Dataset(
        inputs=inputs,
        outcome=_drawn(rng, inputs, moved),
        detected_at=detected_at,
        outcome_at=detected_at + rng.integers(DAY_S, window, rows),
        horizon_at=detected_at + window,
        pattern_id=np.array([f"pattern {row}" for row in range(rows)], dtype=object),
        symbol=rng.choice(np.array([f"S{number:02d}" for number in range(40)], dtype=object), rows),
        horizon=HORIZON,
    )


def _drawn(rng: np.random.Generator, inputs: dict[str, NDArray[Any]], moved: NDArray[np.float64]) -> NDArray[np.int8]:
    """Outcomes whose log-odds are those of first passage and ``moved``."""
    target, stop, neither = compute_first_passage(inputs, np, HORIZON)[:, :3].T
    p = 1 / (1 + np.exp(-(np.log(target / (1 - target)) + moved)))
    drawn = rng.random(len(p))
    other = np.where(rng.random(len(p)) < stop / (stop + neither), 0, 1)
    return np.where(drawn < p, 2, other).astype(np.int8)


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
    return np.asarray(compute(small_dataset().inputs, np, HORIZON))


@cache
def small_rows() -> Rows:
    """What the candidates are fitted on, as training makes it of them."""
    data = small_dataset()
    return Rows(to_float32(small_features()).astype(np.float64), data.outcome, uniqueness(data))


def fit_small(outcome: NDArray[np.int8] | None = None, models: tuple[str, ...] = DEFAULT) -> FittedModel:
    """An ensemble of a few trees fitted on two thirds of the shared rows, believed as it is."""
    rows = small_rows() if outcome is None else replace(small_rows(), outcome=outcome)
    early = rows.take(np.arange(800))
    recipe = Recipe(models, seed=3, size=SMALL)
    fitted = Fitted(Ensemble(fit_ensemble(early, recipe), 0.8))
    return FittedModel(fitted, HORIZON, recipe.algorithm)


@cache
def small_model(models: tuple[str, ...] = DEFAULT) -> FittedModel:
    """:func:`fit_small` once, for all who do not change it."""
    return fit_small(models=models)


@cache
def small_candidate(name: str) -> FittedModel:
    """Another candidate, fitted on the same rows."""
    early = small_rows().take(np.arange(800))
    return FittedModel(fit_simple(early, (name,))[name], HORIZON, name)


@cache
def small_export(models: tuple[str, ...] = DEFAULT) -> Exported:
    """The file of :func:`small_model`."""
    return export(small_model(models))


@cache
def small_artifact() -> Artifact:
    """The shared rows, trained, the ensemble kept by name."""
    return train(small_dataset(), candidate="ensemble", seed=3, size=SMALL)
