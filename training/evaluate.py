"""How good the probabilities are on rows that nothing was fitted on, against the rule confidence as the baseline.

The event is "positive outcome". Every figure carries a 95 % bootstrap interval. Patterns close in time share bars and
outcomes, so whole blocks of time are resampled, not rows: intervals over rows would be far too narrow. Differences are
paired, that is, taken within each resample. Rows without a rule confidence count for the model's own figures and are
left out of every comparison with the rule.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from training.dataset import Dataset

Floats = NDArray[np.float64]

LOG_CLIP: Final = 1e-3
"""Log loss takes probabilities within [LOG_CLIP, 1 - LOG_CLIP], or one rule confidence of exactly 1 would decide it.

``ml.performance_realised`` clips as scikit-learn does, at 2.2e-16: its log losses and these do not compare."""
ECE_BINS: Final = 10
RESAMPLES: Final = 1_000
BLEND: Final = (0.6, 0.4)
"""Default weights of model and rule. Fixed, so that figures of two models compare whatever the settings said."""
MIN_ROWS_BY_TYPE: Final = 30
_LEAST_BLOCKS: Final = 20
_DAY_S: Final = 86_400
_CELLS: Final = 10_000_000
_INTERVAL: Final = (0.025, 0.975)

_Metric = Callable[[Floats], Floats]
"""Takes weights [B, N] and answers one figure for each of the B resamples."""


class Verdict(StrEnum):
    """What the interval of a difference allows to say, where less is better."""

    BETTER = "is better than"
    WORSE = "is worse than"
    EQUAL = "cannot be told apart from"
    UNKNOWN = "had too few rows to be compared with"


def verdict(low: float | None, high: float | None) -> Verdict:
    """The claim that a difference with this interval supports; None or NaN where there is no interval."""
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return Verdict.UNKNOWN
    if high < 0:
        return Verdict.BETTER
    return Verdict.WORSE if low > 0 else Verdict.EQUAL


def evaluate(
    probability: NDArray[np.floating[Any]],
    dataset: Dataset,
    *,
    known_rate: float,
    seed: int,
    resamples: int = RESAMPLES,
) -> dict[str, Any]:
    """Metrics of P(positive) [N] on ``dataset``, as plain numbers that JSON can hold (null where undefined).

    ``known_rate`` is the share of positives among the earlier rows: who knows nothing else answers that to every row,
    and a calibrated model without skill does little better. ``ml``, ``base`` (that answer) and ``ml_minus_base`` are
    over all rows; ``with_rule`` over the rows with a rule confidence: ``ml``, ``rule``, ``blend`` and the paired
    differences (below zero is better for Brier, log loss and calibration error, above zero for AUC);
    ``by_pattern_type`` single figures; ``reliability`` the bins of the calibration error.
    """
    p, hit = np.asarray(probability, np.float64), dataset.positive.astype(np.float64)
    rule = np.asarray(dataset.inputs["rule_confidence"], np.float64)
    block, block_s = _blocks(dataset)
    has_rule = np.isfinite(rule)
    answers = {"ml": p, "rule": rule, "blend": np.clip(BLEND[0] * p + BLEND[1] * rule, 0, 1)}
    paired = {name: values[has_rule] for name, values in answers.items()}
    with_rule: dict[str, Any] = {"rows": int(has_rule.sum()), "base_rate": _mean(hit[has_rule])}
    if has_rule.any():
        with_rule |= _compare(paired, "rule", hit[has_rule], block[has_rule], seed, resamples)
    return {
        "rows": len(p),
        "base_rate": _mean(hit),
        **_compare({"ml": p, "base": np.full(len(p), known_rate)}, "base", hit, block, seed, resamples),
        "with_rule": with_rule,
        "by_pattern_type": _by_type(dataset, answers, hit),
        "reliability": reliability(p, hit),
        "method": {
            "log_clip": LOG_CLIP,
            "ece_bins": ECE_BINS,
            "resamples": resamples,
            "interval": 0.95,
            "block_s": block_s,
            "blocks": len(np.unique(block)),
            "blend_weights": list(BLEND),
        },
    }


def compare(
    answers: Mapping[str, Floats], baseline: str, dataset: Dataset, *, seed: int, resamples: int = RESAMPLES
) -> dict[str, Any]:
    """Metrics of each of ``answers`` to all rows of ``dataset``, and as ``A_minus_BASELINE`` the paired differences."""
    hit = dataset.positive.astype(np.float64)
    return _compare(answers, baseline, hit, _blocks(dataset)[0], seed, resamples)


def block_weights(dataset: Dataset, *, seed: int, resamples: int) -> Floats:
    """How often each row counts in each resample of whole blocks of time, [resamples, N]."""
    blocks, member = np.unique(_blocks(dataset)[0], return_inverse=True)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(blocks), np.full(len(blocks), 1 / len(blocks)), size=resamples)
    return np.asarray(drawn[:, member], np.float64)


def metrics_of(p: Floats, hit: Floats) -> Mapping[str, _Metric]:
    """The metrics of probabilities ``p`` [N] against ``hit`` [N] (0 or 1), as functions of row weights."""
    clipped = np.clip(p, LOG_CLIP, 1 - LOG_CLIP)
    return {
        "brier": _weighted_mean((p - hit) ** 2),
        "log_loss": _weighted_mean(-np.log(np.where(hit > 0, clipped, 1 - clipped))),
        "roc_auc": _auc(p, hit),
        "ece": _calibration_error(p, hit),
    }


def point(metric: _Metric, rows: int) -> float | None:
    """The metric with every row counted once; None where it is undefined."""
    return _number(metric(np.ones((1, rows)))[0])


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


def _compare(
    answers: Mapping[str, Floats], baseline: str, hit: Floats, block: NDArray[np.int64], seed: int, resamples: int
) -> dict[str, Any]:
    """Every answer's metrics, and those of the others less the ``baseline``'s."""
    draws: dict[str, dict[str, Floats]] = {}
    values: dict[str, dict[str, float | None]] = {}
    for name, p in answers.items():
        metrics = metrics_of(p, hit)
        # The same seed for every answer, so that differences are paired.
        draws[name] = _bootstrap(metrics, block, seed, resamples)
        values[name] = {metric: point(function, len(p)) for metric, function in metrics.items()}
    result: dict[str, Any] = {
        name: {metric: _with_interval(values[name][metric], draws[name][metric]) for metric in values[name]}
        for name in answers
    }
    for name in answers:
        if name != baseline:
            result[f"{name}_minus_{baseline}"] = {
                metric: _with_interval(
                    _minus(values[name][metric], values[baseline][metric]),
                    draws[name][metric] - draws[baseline][metric],
                )
                for metric in values[name]
            }
    return result


def _bootstrap(
    metrics: Mapping[str, _Metric], block: NDArray[np.int64], seed: int, resamples: int
) -> dict[str, Floats]:
    """Every metric on ``resamples`` draws of whole blocks, in chunks that bound memory."""
    rng = np.random.default_rng(seed)
    blocks, member = np.unique(block, return_inverse=True)
    chunk = max(1, _CELLS // max(1, len(block)))
    found: dict[str, list[Floats]] = {name: [] for name in metrics}
    for start in range(0, resamples, chunk):
        drawn = rng.multinomial(
            len(blocks), np.full(len(blocks), 1 / len(blocks)), size=min(chunk, resamples - start)
        ).astype(np.float64)
        weights = drawn[:, member]
        for name, metric in metrics.items():
            found[name].append(metric(weights))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def _weighted_mean(values: Floats) -> _Metric:
    return lambda weights: weights @ values / weights.sum(axis=1)


def _auc(p: Floats, hit: Floats) -> _Metric:
    """Area under the ROC curve: the share of (positive, other) pairs in the right order, ties counting half."""
    order = np.argsort(p, kind="stable")
    starts = np.flatnonzero(np.diff(p[order], prepend=-np.inf))

    def metric(weights: Floats) -> Floats:
        ordered = weights[:, order]
        positive = np.add.reduceat(ordered * hit[order], starts, axis=1)
        other = np.add.reduceat(ordered * (1 - hit[order]), starts, axis=1)
        below = np.cumsum(other, axis=1) - other
        pairs = positive.sum(axis=1) * other.sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(np.sum(positive * (below + other / 2), axis=1) / np.where(pairs > 0, pairs, np.nan))

    return metric


def _calibration_error(p: Floats, hit: Floats) -> _Metric:
    """Mean over bins of equal mass, weighted by rows, of the distance between predicted and observed."""
    number = mass_bins(p)
    surplus = np.eye(number.max(initial=0) + 1)[number] * (p - hit)[:, None]
    return lambda weights: np.abs(weights @ surplus).sum(axis=1) / weights.sum(axis=1)


def _blocks(dataset: Dataset) -> tuple[NDArray[np.int64], int]:
    """The block of time each row falls in: a label window long, a day at least, but twenty of them at least."""
    if len(dataset) == 0:
        return np.empty(0, np.int64), 0
    start = dataset.detected_at
    window = int(np.median(dataset.outcome_at - start))
    span = int(start[-1] - start[0])
    length = max(1, min(max(_DAY_S, window), span // _LEAST_BLOCKS))
    return (start - start[0]) // length, length


def _by_type(dataset: Dataset, answers: Mapping[str, Floats], hit: Floats) -> dict[str, Any]:
    result: dict[str, Any] = {}
    types = dataset.inputs["pattern_type"].astype(str)
    for kind in np.unique(types):
        rows = types == kind
        entry: dict[str, Any] = {"rows": int(rows.sum()), "base_rate": _mean(hit[rows])}
        if entry["rows"] >= MIN_ROWS_BY_TYPE:
            for name in ("ml", "rule"):
                known = rows & np.isfinite(answers[name])
                metrics = metrics_of(answers[name][known], hit[known]) if known.any() else {}
                entry[name] = {metric: point(function, int(known.sum())) for metric, function in metrics.items()}
        result[str(kind)] = entry
    return result


def _with_interval(value: float | None, draws: Floats) -> dict[str, float | None]:
    known = draws[np.isfinite(draws)]
    low, high = np.quantile(known, _INTERVAL) if len(known) else (np.nan, np.nan)
    return {"value": value, "low": _number(low), "high": _number(high)}


def _wilson(share: float, count: int, z: float = 1.959963984540054) -> tuple[float, float]:
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * np.sqrt(share * (1 - share) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    return float(middle - half), float(middle + half)


def _mean(values: Floats) -> float | None:
    return float(values.mean()) if len(values) else None


def _minus(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
