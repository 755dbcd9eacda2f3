"""A surface: the three ends of a pattern for many targets and stops, and what each pair is worth.

Models trained here are first passage and a correction that reads no levels: ``logit p = logit q + intercept + slope
logit q``, for the target and for not being stopped alike. :func:`fit_shift` reads the two numbers from what a model
answers at a few pairs, and says when it is another kind of model.

Under a walk without drift every pair is worth nothing before costs, wherever its levels are (optional stopping). So a
pair's value is what the correction adds, in log price: the probability that it moves to the target, times the way from
where "neither" closes to the target, less the same for the stop.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from db_functions.passage import EDGE
from db_functions.walk import Passage

Floats = NDArray[np.float64]

EXACT: Final = 1e-5
"""How far from a model's answer the formula may be at a probe; the graph answers in float32."""
BELIEVED: Final = 0.5
"""The part of a correction that is sure once its Brier score is surely below that of first passage.

With p = q + x and e = y - q, the gain ``sum e^2 - sum (e - x)^2 = 2 sum x e - sum x^2`` is above 0 just when the slope
of e on x, ``sum x e / sum x^2``, is above one half.
"""
_CLEAR: Final = 1e-3
"""Log-odds are read from probabilities within [_CLEAR, 1 - _CLEAR]: nearer to the ends float32 tells too little."""

Ranges = Mapping[str, tuple[float, float]]
"""The least and the most that a feature was in the rows fitted on."""


@dataclass(frozen=True, slots=True)
class Shift:
    """A correction that reads no levels, on the scale of log-odds."""

    intercept: float = 0.0
    slope: float = 0.0

    @property
    def learned(self) -> bool:
        """Whether it is anything but first passage itself."""
        return self != Shift()

    def of(self, q: Floats) -> Floats:
        """The probabilities [P, 3] that it makes of first passage [P, 3]."""
        if not self.learned:
            return q
        z = _log_odds(_upper(q))
        upper = 1 / (1 + np.exp(-(z + self.intercept + self.slope * z)))
        not_stopped, target = upper.T
        return np.stack([1 - not_stopped, np.maximum(not_stopped - target, 0), target], axis=1)


def fit_shift(q: Floats, p: Floats) -> Shift | None:
    """The simplest correction that turns first passage [K, 3] into a model's answers [K, 3]; None when none does."""
    if not (np.isfinite(q).all() and np.isfinite(p).all()):
        return None
    z, wanted = _log_odds(_upper(q)).ravel(), _log_odds(_upper(p)).ravel()
    nearest = np.minimum.reduce([side for one in (_upper(q), _upper(p)) for side in (one, 1 - one)]).ravel()
    clear = nearest > _CLEAR
    found = [Shift()]
    if clear.any():
        root, z, step = nearest[clear], z[clear], (wanted - z)[clear]
        found.append(Shift(float(np.average(step, weights=root**2))))
        if np.ptp(z) > 0:
            design = np.stack([np.ones_like(z), z], axis=1) * root[:, None]
            found.append(Shift(*np.linalg.lstsq(design, step * root, rcond=None)[0].tolist()))
    return next((one for one in found if one.slope > -1 and np.abs(one.of(q) - p).max() <= EXACT), None)


@dataclass(frozen=True, slots=True)
class Values:
    """Expected values of P pairs in multiples of the risk, NaN where there is no risk; ``least`` is surely reached."""

    expected: Floats
    least: Floats


def values(passage: Passage, p: Floats, cost_bps: float) -> Values:
    """What pairs with probabilities ``p`` [P, 3] are worth after costs, entered at the last close.

    Gains, losses and costs are log prices; the risk is the distance of the stop.
    """
    a, b = passage.distances.T
    stop, _, target = (p - passage.p).T
    with np.errstate(all="ignore"):
        added = np.where(b > 0, (target * (a - passage.middle) - stop * (b + passage.middle)) / b, np.nan)
        costs = np.where(b > 0, cost_bps / 10_000 / b, np.nan)
    return Values(added - costs, BELIEVED * added - costs)


def outside(q: Floats, ranges: Ranges | None) -> NDArray[np.bool_] | None:
    """Which pairs [P] lie where the model had no rows to be fitted on, by their first passage; None: not known."""
    if ranges is None:
        return None
    columns = {"first_passage_target": 2, "first_passage_stop": 0}
    found = np.zeros(len(q), np.bool_)
    for name, (low, high) in ranges.items():
        found |= (q[:, columns[name]] < low) | (q[:, columns[name]] > high)
    return found


def read_ranges(baseline: Mapping[str, Any] | None) -> Ranges | None:
    """From a model's drift baseline; None where that does not say."""
    features = (baseline or {}).get("features") or {}
    try:
        return {
            name: (float(features[name]["least"]), float(features[name]["most"]))
            for name in ("first_passage_target", "first_passage_stop")
        }
    except (KeyError, TypeError, ValueError):
        return None


def _upper(p: Floats) -> Floats:
    """Of not being stopped, and of the target, [P, 2]."""
    return np.stack([1 - p[:, 0], p[:, 2]], axis=1)


def _log_odds(p: Floats) -> Floats:
    held = np.clip(p, EDGE, 1 - EDGE)
    found: Floats = np.log(held / (1 - held))
    return found
