"""Fits the corrections: each the maximum of a posterior, with a normal prior that pulls it towards first passage.

Labels whose windows overlap say less than as many independent ones, so each log-likelihood is multiplied by the mean
uniqueness of the windows (``blocks.uniqueness``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import expit

from training.correction import USED, Floats, Line, Ridge, Rows, directed
from training.learners import FittedEnsemble, Recipe

LINE_SPREAD: Final = 0.1
RIDGE_SPREADS: Final = (0.05, 0.1, 0.2)
SLOPE_SPREAD: Final = 0.5
_LEAST_SLOPE: Final = -0.9
"""Of a line: 1 + slope stays above 0, so the order of rows is kept."""
_DIGITS: Final = 6
_STEPS: Final = 50


def fit_line(offset: Floats, hit: Floats, weight: float) -> Line:
    """The line that best explains ``hit`` [N] beside log-odds ``offset`` [N]; flat without rows."""
    if len(offset) == 0:
        return Line(0.0, 0.0, 0.0)
    middle = float(offset.mean())
    design = np.stack([np.ones_like(offset), offset - middle], axis=1)
    found = fit_log_odds(offset, design, hit, np.full(2, 1 / LINE_SPREAD**2), weight).parameters
    return Line(_rounded(found[0]), max(_LEAST_SLOPE, _rounded(found[1])), _rounded(middle))


def fit_ridge(rows: Rows) -> Ridge:
    """The ridge of that t which has the most evidence."""
    values = directed(rows.features, np)
    known = np.where(np.isfinite(values), values, np.nan)
    count = np.maximum(1, np.isfinite(values).sum(axis=0))
    mean = np.nansum(known, axis=0) / count
    scale = np.sqrt(np.nansum((known - mean) ** 2, axis=0) / count)
    # A feature that does not vary says nothing, and is never divided by zero.
    scale = np.where(scale > 0, scale, 1.0)
    width = len(mean)
    blank = Ridge(mean[None], scale[None], np.zeros((1, width)), 0.0)
    design = np.asarray(blank.standard(rows.features, np))
    fits = {
        spread: fit_log_odds(rows.offset, design, rows.hit, np.full(width, width / spread**2), rows.weight)
        for spread in RIDGE_SPREADS
    }
    best = max(fits, key=lambda spread: fits[spread].evidence)
    weights = np.round(fits[best].parameters, _DIGITS)
    return Ridge(mean[None], scale[None], weights[None], best)


def fit_slope(offset: Floats, said: Floats, hit: Floats, weight: float) -> float:
    """How far what an ensemble said [N] of rows it had not seen is to be believed; 0 without rows, never below 0."""
    if len(said) == 0:
        return 0.0
    found = fit_log_odds(offset, said[:, None], hit, np.array([1 / SLOPE_SPREAD**2]), weight).parameters
    return max(0.0, _rounded(found[0]))


def fit_ensemble(rows: Rows, recipe: Recipe) -> FittedEnsemble:
    """The learners of ``recipe``, one Newton step from first passage. Raises LearnerNotInstalled."""
    return recipe.fit(rows.features, *rows.newton(), USED)


@dataclass(frozen=True, slots=True)
class Fit:
    """Parameters [k] at the maximum of the posterior, and the logarithm of the evidence up to a constant."""

    parameters: Floats
    evidence: float


def fit_log_odds(offset: Floats, design: Floats, hit: Floats, precision: Floats, weight: float) -> Fit:
    """Maximise ``weight`` times the log-likelihood of ``hit`` [N] at log-odds ``offset + design @ b``, b ~ N(0,
    1/precision).

    ``design`` is [N, k], ``precision`` [k]. Newton's method; the function is concave, so there is one maximum.
    """
    b = np.zeros(design.shape[1])

    def value(at: Floats) -> float:
        z = offset + design @ at
        return float(weight * np.sum(hit * z - np.logaddexp(0, z)) - at @ (precision * at) / 2)

    best = value(b)
    for _ in range(_STEPS):
        p = expit(offset + design @ b)
        gradient = weight * (design.T @ (hit - p)) - precision * b
        curvature = weight * (design.T * (p * (1 - p))) @ design + np.diag(precision)
        step = np.linalg.solve(curvature, gradient)
        while (new := value(b + step)) < best and np.abs(step).max() > 1e-12:
            step = step / 2
        b, gained, best = b + step, new - best, new
        if gained < 1e-10:
            break
    _, log_curvature = np.linalg.slogdet(curvature)
    return Fit(b, best + float(np.log(precision).sum() - log_curvature) / 2)


def _rounded(value: float) -> float:
    """Six digits, so that the last bits of an optimiser do not make two equal fits two different files."""
    return round(float(value), _DIGITS)
