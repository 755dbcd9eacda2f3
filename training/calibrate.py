"""Calibration: making the ensemble's probabilities mean what they say, in code that runs in the graph too.

Vector scaling: each class's log-probability is multiplied by a slope of its own and a constant is added,

    z_k = a_k * log(s_k) + b_k,    calibrated_k = exp(z_k) / sum_j exp(z_j),

after Guo et al., *On Calibration of Modern Neural Networks* (2017); the diagonal member of the Dirichlet calibration of
Kull et al., *Beyond temperature scaling* (2019). Slopes mend a soft vote that is too timid or too sure, biases class
shares that have moved since the rows fitted on. The penalty pulls (a, b) towards the identity (1, 0): with few rows, or
none of a class, the answer stays near the uncalibrated one.

Why these six parameters: each costs about 1 / (2 rows) of log loss when there is nothing to mend. Simulated, mean log
loss above that of the true probabilities (20 seeds; too sure everywhere; slopes that differ between classes; nothing
wrong):

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
"""Standard deviation of the normal priors on each slope and bias."""
_DIGITS: Final = 6
_BOUNDS: Final = [(0.05, 4.5)] * 3 + [(-4.0, 4.0)] * 3


@dataclass(frozen=True, slots=True)
class Calibration:
    """One slope (above 1 sharpens) and one bias per class, in the contract's order."""

    slope: tuple[float, ...]
    bias: tuple[float, ...]

    def apply(self, probabilities: Any, xp: Any) -> Any:
        """Calibrated float64 probabilities of [N, 3] uncalibrated ones; rows sum to 1. For NumPy and the graph."""
        slope, bias = (xp.asarray(np.asarray(values)[None, :]) for values in (self.slope, self.bias))
        # No subtraction of the largest: z is bounded by log(FLOOR) times a slope, so exp neither overflows nor
        # vanishes in all three.
        weight = xp.exp(_log_smoothed(probabilities, xp) * slope + bias)
        return weight / xp.sum(weight, axis=1, keepdims=True)


IDENTITY: Final = Calibration((1.0, 1.0, 1.0), (0.0, 0.0, 0.0))


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

    identity = np.array([*IDENTITY.slope, *IDENTITY.bias])

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        z = logs * parameters[:3] + parameters[3:]
        log_total = np.logaddexp.reduce(z, axis=1)
        error = np.exp(z - log_total[:, None]) - hit
        away = parameters - identity
        value = float(np.sum(log_total - np.sum(z * hit, axis=1)) + away @ away / (2 * SPREAD**2))
        return value, np.concatenate([np.sum(error * logs, axis=0), error.sum(axis=0)]) + away / SPREAD**2

    best = minimize(loss, identity, jac=True, method="L-BFGS-B", bounds=_BOUNDS, options={"gtol": 1e-8}).x
    rounded = tuple(round(float(value), _DIGITS) for value in best)
    return Calibration(rounded[:3], rounded[3:])
