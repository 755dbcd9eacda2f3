"""Calibration: making the ensemble's probabilities mean what they say, in code that runs in the graph too.

Temperature scaling with class biases: log-probabilities are multiplied by one number and a constant is added to each,

    z_k = t * log(s_k) + b_k,    calibrated_k = exp(z_k) / sum_j exp(z_j),

after Guo et al., *On Calibration of Modern Neural Networks* (2017), and Alexandari et al., *Maximum Likelihood with
Bias-Corrected Calibration* (2020). It is the member of the family of Kull et al., *Beyond temperature scaling:
Dirichlet calibration* (2019), with the fewest parameters that still mends the two faults seen in practice: a soft vote
that is too timid or too sure (t), and class shares that have moved since the rows fitted on (b).

Why not more: full Dirichlet calibration has 9 free parameters here. Each costs about 1 / (2 rows) of log loss when
there is nothing to mend, so on 500 rows it would lose more than it is likely to gain; isotonic regression needs
thousands, and converts to ONNX only within 0.02. The penalty pulls (t, b) towards the identity (1, 0): with few rows,
or none of a class, the answer stays near the uncalibrated one.
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
"""Standard deviation of the normal priors on log t and on each b."""
_DIGITS: Final = 6


@dataclass(frozen=True, slots=True)
class Calibration:
    """``temperature`` t (a slope: above 1 sharpens) and one bias per class."""

    temperature: float
    bias: tuple[float, float, float]

    def apply(self, probabilities: Any, xp: Any) -> Any:
        """Calibrated float64 probabilities of [N, 3] uncalibrated ones; rows sum to 1. For NumPy and the graph."""
        z = _log_smoothed(probabilities, xp) * self.temperature + xp.asarray(np.asarray(self.bias)[None, :])
        # No subtraction of the largest: z is bounded by log(FLOOR) * t, so exp neither overflows nor vanishes.
        weight = xp.exp(z)
        return weight / xp.sum(weight, axis=1, keepdims=True)


IDENTITY: Final = Calibration(1.0, (0.0, 0.0, 0.0))


def _log_smoothed(probabilities: Any, xp: Any) -> Any:
    return xp.log((probabilities + FLOOR) / (1 + 3 * FLOOR))


def fit_calibration(probabilities: NDArray[np.float64], outcome: NDArray[np.int8]) -> Calibration:
    """The calibration that best explains ``outcome`` [N] (0..2) given uncalibrated ``probabilities`` [N, 3].

    Maximum a posteriori by L-BFGS; with no rows, the identity. Parameters are rounded to six digits, so that the last
    bits of an optimiser's arithmetic do not make two equal fits two different files.
    """
    if len(outcome) == 0:
        return IDENTITY
    logs = _log_smoothed(probabilities, np)
    hit = np.eye(3)[outcome]

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        temperature, bias = np.exp(parameters[0]), parameters[1:]
        z = logs * temperature + bias
        log_total = np.logaddexp.reduce(z, axis=1)
        error = np.exp(z - log_total[:, None]) - hit
        value = float(np.sum(log_total - np.sum(z * hit, axis=1)))
        slope = np.concatenate([[temperature * np.sum(error * logs)], error.sum(axis=0)])
        return value + float(parameters @ parameters) / (2 * SPREAD**2), slope + parameters / SPREAD**2

    bounds = [(-3.0, 1.5), *([(-4.0, 4.0)] * 3)]
    best = minimize(loss, np.zeros(4), jac=True, method="L-BFGS-B", bounds=bounds, options={"gtol": 1e-8}).x
    rounded = [round(float(value), _DIGITS) for value in (np.exp(best[0]), *best[1:])]
    return Calibration(rounded[0], (rounded[1], rounded[2], rounded[3]))
