"""Brier score, log loss, ROC AUC and calibration error of probabilities, with 95 % intervals by calendar blocks.

- Brier score and log loss are means over rows.
- ROC AUC is nearly one: a row's part is how much its own place among the rows of the other kind exceeds the average
  (DeLong et al., *Comparing the areas under two or more correlated ROC curves*, 1988; with blocks, Obuchowski,
  *Nonparametric analysis of clustered ROC curve data*, 1997).
- Calibration error is a sum of absolute values; its interval is a bootstrap over the same blocks, less the bias of the
  draws.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from training import blocks

Floats = NDArray[np.float64]

METRICS: Final = {"brier": "Brier score", "log_loss": "log loss", "roc_auc": "ROC AUC", "ece": "calibration error"}
"""What each is called."""
LOG_CLIP: Final = 1e-3
"""Log loss takes probabilities within [LOG_CLIP, 1 - LOG_CLIP], or one rule confidence of exactly 1 would decide it.

``ml.performance_realised`` clips as scikit-learn does, at 2.2e-16: its log losses and these do not compare."""
ECE_BINS: Final = 10
_INTERVAL: Final = (0.025, 0.975)


def expected_calibration_error(p: Floats, hit: NDArray[Any]) -> float:
    """The mean over bins of equal mass, weighted by rows, of the distance between predicted and observed."""
    return float(np.abs(np.bincount(mass_bins(p), p - hit)).sum() / len(p))


def figures(p: Floats, hit: Floats) -> dict[str, float | None]:
    """The metrics of probabilities ``p`` [N] against ``hit`` [N] (0 or 1); None where one is undefined."""
    if len(p) == 0:
        return dict.fromkeys(METRICS)
    means = {name: float(values.mean()) for name, values in _losses(p, hit).items()}
    return {**means, "roc_auc": number(roc_auc(p, hit)[0]), "ece": expected_calibration_error(p, hit)}


def reliability(p: Floats, hit: Floats) -> list[dict[str, Any]]:
    """Bins of equal mass with what was predicted and what came, and the Wilson 95 % interval of the latter."""
    number = mass_bins(p)
    table = []
    for index in np.unique(number):
        rows = number == index
        count, observed = int(rows.sum()), float(hit[rows].mean())
        low, high = _wilson(observed, count)
        table.append(
            {
                "from": float(p[rows].min()),
                "to": float(p[rows].max()),
                "rows": count,
                "predicted": float(p[rows].mean()),
                "observed": observed,
                "observed_low": low,
                "observed_high": high,
            }
        )
    return table


def mass_bins(p: Floats, bins: int = ECE_BINS) -> NDArray[np.intp]:
    """The number of each row's bin; bins hold equal shares of the rows, and equal values stay together."""
    edges = np.unique(np.quantile(p, np.linspace(0, 1, bins + 1)[1:-1])) if len(p) else np.empty(0)
    return np.searchsorted(edges, p, side="right")


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows to compare answers on: what came [N], in which block [N], and how the calibration error is resampled."""

    hit: Floats
    block: blocks.Block
    seed: int
    resamples: int

    def take(self, rows: NDArray[np.bool_]) -> Sample:
        return Sample(self.hit[rows], self.block[rows], self.seed, self.resamples)

    def measure(self, answers: Mapping[str, Floats]) -> dict[str, Measured]:
        """Each answer on the same rows and resamples, ready to be compared."""
        member, drawn = blocks.draws(self.block, seed=self.seed, resamples=self.resamples)
        return {name: Measured.of(p, self.hit, member, drawn) for name, p in answers.items()}

    def compare(self, answers: Mapping[str, Floats], baseline: str) -> dict[str, Any]:
        """Every answer's metrics, and those of the others less the ``baseline``'s."""
        measured = self.measure(answers)
        result: dict[str, Any] = {name: one.entries(self.block) for name, one in measured.items()}
        for name, one in measured.items():
            if name != baseline:
                result[f"{name}_minus_{baseline}"] = one.less(measured[baseline]).entries(self.block)
        return result


@dataclass(frozen=True, slots=True)
class Measured:
    """The metrics of one answer: row by row where they are means, the calibration error by its draws [resamples]."""

    rows: Mapping[str, Floats]
    ece: float
    ece_draws: Floats
    least_ece: float = 0.0

    @classmethod
    def of(cls, p: Floats, hit: Floats, member: NDArray[np.intp], drawn: Floats) -> Measured:
        auc, part = roc_auc(p, hit)
        number = mass_bins(p)
        width, count = int(number.max(initial=0)) + 1, drawn.shape[1]
        surplus = np.bincount(member * width + number, p - hit, count * width).reshape(count, width)
        total = drawn @ np.bincount(member, minlength=count)
        draws = np.abs(drawn @ surplus).sum(axis=1) / total
        return cls({**_losses(p, hit), "roc_auc": auc + part}, expected_calibration_error(p, hit), draws)

    def less(self, other: Measured) -> Measured:
        rows = {name: values - other.rows[name] for name, values in self.rows.items()}
        return Measured(rows, self.ece - other.ece, self.ece_draws - other.ece_draws, -1.0)

    def entries(self, block: blocks.Block) -> dict[str, dict[str, float | None]]:
        found = {}
        for name, values in self.rows.items():
            mean = blocks.mean(values, block)
            found[name] = _entry(mean.value, *mean.interval())
        # Resampled rows repeat, so each draw shows more error than the rows themselves: their mean is put on the value.
        low, high = np.quantile(self.ece_draws, _INTERVAL) - self.ece_draws.mean() + self.ece
        return {**found, "ece": _entry(self.ece, max(low, self.least_ece), high)}


def _entry(value: float, low: float, high: float) -> dict[str, float | None]:
    return {"value": number(value), "low": number(low), "high": number(high)}


def _losses(p: Floats, hit: Floats) -> dict[str, Floats]:
    clipped = np.clip(p, LOG_CLIP, 1 - LOG_CLIP)
    return {"brier": (p - hit) ** 2, "log_loss": -np.log(np.where(hit > 0, clipped, 1 - clipped))}


def roc_auc(p: Floats, hit: Floats) -> tuple[float, Floats]:
    """The share of (positive, other) pairs in the right order, ties counting half; and each row's part in it [N].

    The parts have mean 0. NaN where there is only one kind of row.
    """
    positive = hit > 0
    own, other = np.sort(p[positive]), np.sort(p[~positive])
    if len(own) == 0 or len(other) == 0:
        return math.nan, np.full(len(p), np.nan)
    # For each row the share of the rows of the other kind that it stands rightly to.
    below = (np.searchsorted(other, p, "left") + np.searchsorted(other, p, "right")) / (2 * len(other))
    above = 1 - (np.searchsorted(own, p, "left") + np.searchsorted(own, p, "right")) / (2 * len(own))
    auc = float(below[positive].mean())
    share = len(own) / len(p)
    return auc, np.where(positive, (below - auc) / share, (above - auc) / (1 - share))


def _wilson(share: float, count: int, z: float = 1.959963984540054) -> tuple[float, float]:
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * np.sqrt(share * (1 - share) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    return float(middle - half), float(middle + half)


def number(value: float) -> float | None:
    """None where it is not finite, as JSON has it."""
    return float(value) if np.isfinite(value) else None
