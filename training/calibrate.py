"""Calibration: making the ensemble's probabilities mean what they say, in code that runs in the graph too.

Vector scaling: each class's log-probability is multiplied by a slope of its own and a constant is added,

    z_k = a_k * log(s_k) + b_k,    calibrated_k = exp(z_k) / sum_j exp(z_j),

after Guo et al., *On Calibration of Modern Neural Networks* (2017); the diagonal member of the Dirichlet calibration of
Kull et al., *Beyond temperature scaling* (2019).

**What it shrinks to.** An ensemble fitted on noise is sure of it, and its slopes should then be 0: every row gets the
class shares, which is all that is known. So the prior is centred there, at slopes of 0 and at the logarithms of the
smoothed shares, and rows must show that the ensemble is to be trusted; when they do, the prior weighs as little as any.
Shrinking predictions by what they proved worth on other rows is Copas, *Regression, prediction and shrinkage* (1983).
A slope is never negative: that the ensemble was wrong more often than right in the past is no reason to believe its
opposite. The rows are answered out of fold, as Platt, *Probabilistic outputs for support vector machines* (1999),
advises, but forward in time (see ``split``).

Judged on the demo's daily candlesticks before its last two years, nearly a fair coin: seven yearly origins (March 2004
to 2010), all outcomes known by then fitted on, 120 trees; Brier score over the year after less that of the known base
rate, in 1e-4:

                                                        mean of 4,028 rows      worst year
    one held-out part, prior at the identity                  +9.5                  +49
    the same, prior at no skill                               +2.9                  +26
    folds, prior at the identity                              -6.0                  +10
    folds, prior at no skill                                  -6.2                  +14
    folds, prior at no skill, learners held in                -5.1                   +7

Folds do most; below them nothing can be told apart. Uncalibrated, the learners held in (see ``learners``) exceed the
base rate by 6, the others by 37. As training really runs, with the last fifth kept to test on and so left out of the
fit, +43.7 became +2.8, and the calibration error 0.029 for 0.055.

**Stacked members** are calibrated and weighed in one: each has slopes of its own, and z_k sums over the members,

    z_k = sum_m a_mk * log(s_mk) + b_k,

a logarithmic opinion pool (Genest and Zidek, *Combining probability distributions*, 1986) with stacking's weights
(Wolpert, *Stacked generalization*, 1992), learnt from the same answers out of fold, none from a row's own future. A
member that adds nothing gets slopes near 0.

Why these six parameters, of a vote: each costs about 1 / (2 rows) of log loss when there is nothing to mend. Simulated,
mean log loss above that of the true probabilities (20 seeds; too sure everywhere; slopes that differ between classes;
nothing wrong):

    rows 500                 too sure    uneven    nothing wrong
    uncalibrated               0.041      0.033       0.000
    one slope, three biases    0.003      0.008       0.003
    vector scaling             0.004      0.004       0.003
    full matrix                0.006      0.006       0.005

One slope wins by a hair where it suffices and loses by far where it does not, however many rows; a full matrix never
wins. Isotonic regression needs thousands of rows, and converts to ONNX only within 0.02.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

FLOOR: Final = 1e-3
"""Mixed into every class before the logarithm: no training set supports a claim below it, and the logarithm of a
probability nearer 0 would magnify what float32 rounds away past the parity tolerance."""
SPREAD: Final = 0.5
"""Standard deviation of the normal prior on each class's slopes together, about 0: that of one, over the root of how
many there are."""
BIAS_SPREAD: Final = 1.0
"""The same for each class's log share where the ensemble says what it says on average."""
_DIGITS: Final = 6
_SLOPES: Final = (0.0, 4.5)
_BIASES: Final = (-12.0, 12.0)
_CLASSES: Final = 3


@dataclass(frozen=True, slots=True)
class Calibration:
    """One slope (above 1 sharpens) per class of each answer combined, and one bias per class, in the contract's
    order."""

    slope: tuple[float, ...]
    bias: tuple[float, ...]

    def apply(self, probabilities: Any, xp: Any) -> Any:
        """Calibrated float64 [N, 3] of uncalibrated [N, 3 * answers]; rows sum to 1. For NumPy and the graph."""
        slope, bias = (xp.asarray(np.asarray(values)[None, :]) for values in (self.slope, self.bias))
        # No subtraction of the largest: z lies within the slopes times log(FLOOR) of the bias, so exp neither overflows
        # nor vanishes in all three.
        z = bias
        terms = log_smoothed(probabilities, xp) * slope
        for start in range(0, len(self.slope), _CLASSES):
            z = z + terms[:, start : start + _CLASSES]
        weight = xp.exp(z)
        return weight / xp.sum(weight, axis=1, keepdims=True)


IDENTITY: Final = Calibration((1.0, 1.0, 1.0), (0.0, 0.0, 0.0))


def log_smoothed(probabilities: Any, xp: Any) -> Any:
    """Logarithms of probabilities held above FLOOR; what slopes multiply."""
    return xp.log((probabilities + FLOOR) / (1 + 3 * FLOOR))


def fit_calibration(probabilities: NDArray[np.float64], outcome: NDArray[np.int8]) -> Calibration:
    """The calibration that best explains ``outcome`` [N] (0..2) given ``probabilities`` answered out of fold, [N, 3]
    or, of stacked members, [N, 3 * members].

    Maximum a posteriori by L-BFGS; with no rows, every class is as likely. Parameters are rounded to six digits, so
    that the last bits of an optimiser's arithmetic do not make two equal fits two different files.
    """
    width = probabilities.shape[1]
    if len(outcome) == 0:
        return Calibration((0.0,) * width, (0.0,) * _CLASSES)
    members = width // _CLASSES
    logs = log_smoothed(probabilities, np)
    middle = logs.mean(axis=0)
    # About their means, so that slopes and shares do not stand in for one another.
    around = logs - middle
    hit = np.eye(_CLASSES)[outcome]
    no_skill = np.concatenate([np.zeros(width), log_shares(outcome)])
    precision = 1 / np.repeat([SPREAD / np.sqrt(members), BIAS_SPREAD], [width, _CLASSES]) ** 2

    def by_class(values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The members' columns summed to one for each class."""
        return np.asarray(values.reshape(*values.shape[:-1], members, _CLASSES).sum(axis=-2))

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        z = by_class(around * parameters[:width]) + parameters[width:]
        log_total = np.logaddexp.reduce(z, axis=1)
        error = np.exp(z - log_total[:, None]) - hit
        away = parameters - no_skill
        value = float(np.sum(log_total - np.sum(z * hit, axis=1)) + away @ (away * precision) / 2)
        of_slopes = np.sum(np.tile(error, members) * around, axis=0)
        return value, np.concatenate([of_slopes, error.sum(axis=0)]) + away * precision

    bounds = [_SLOPES] * width + [_BIASES] * _CLASSES
    best = minimize(loss, no_skill, jac=True, method="L-BFGS-B", bounds=bounds, options={"gtol": 1e-8}).x
    slope, bias = best[:width], best[width:] - by_class(best[:width] * middle)
    return Calibration(_rounded(slope), _rounded(bias))


def log_shares(outcome: NDArray[np.int8]) -> NDArray[np.float64]:
    """Logarithms of the class shares [3], one row of each class added, so that none is impossible."""
    return np.asarray(np.log((np.bincount(outcome, minlength=3) + 1) / (len(outcome) + 3)))


def _rounded(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(round(float(value), _DIGITS) for value in values)
