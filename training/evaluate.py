"""How good the probabilities are on rows that nothing was fitted on, against four baselines.

The event is "positive outcome". The baselines: the base rate of earlier rows, the rule confidence, first passage (the
probability that needs no training), and the champion. Every figure carries a 95 % interval from sums over calendar
blocks (``metrics``); differences are paired, row by row. Even a perfect model shows some calibration error, so it
stands beside what outcomes drawn from the model's own probabilities show, overlaps kept (``shocks``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from training import blocks
from training.dataset import POSITIVE, Dataset
from training.metrics import (
    ECE_BINS,
    LOG_CLIP,
    METRICS,
    Floats,
    Sample,
    expected_calibration_error,
    figures,
    number,
    reliability,
)
from training.shocks import outcomes, shocks_of

RESAMPLES: Final = 1_000
BLEND: Final = (0.6, 0.4)
"""Default weights of model and rule. Fixed, so that figures of two models compare whatever the settings said."""
CHANCE: Final = 0.5
MIN_ROWS_BY_TYPE: Final = 30
NULL_DRAWS: Final = 200
_MOST_NULL_ROWS: Final = 20_000
_NULL: Final = (0.5, 0.95)


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
    known_rate: float | Floats,
    baselines: Mapping[str, Floats] | None = None,
    ml_weight: float = 1.0,
    seed: int,
    resamples: int = RESAMPLES,
) -> dict[str, Any]:
    """Metrics of P(positive) [N] on ``dataset``, as plain numbers that JSON can hold (null where undefined).

    ``known_rate`` is the share of positives among the earlier rows, one for all or [N]: who knows nothing else answers
    that. ``baselines`` are others' P(positive) [N] by name (``first_passage``, ``champion``), NaN where they have none.
    ``ml``, each baseline and ``ml_minus_BASELINE`` are over the rows that the baseline answers. ``with_rule`` is over
    the rows with a rule confidence: ``ml``, ``rule``, ``served`` (what applications would read with ``ml_weight`` for
    ML and the rest for the rule), ``blend`` (the weights of the earlier system) and the paired differences (below zero
    is better for Brier, log loss and calibration error, above zero for AUC). ``verdicts`` says what each interval that
    excludes no difference allows to say, ``refused`` why nobody should serve this model; ``reliability`` has the bins
    of the calibration error, ``ece_null`` what a perfect model shows; ``by_pattern_type`` single figures.
    """
    p, hit = np.asarray(probability, np.float64), dataset.positive.astype(np.float64)
    rule = np.asarray(dataset.inputs["rule_confidence"], np.float64)
    others = {"base": np.broadcast_to(np.asarray(known_rate, np.float64), p.shape), **(baselines or {})}
    sample = Sample(hit, blocks.blocks_of(dataset), seed, resamples)
    result: dict[str, Any] = {"rows": len(p), "base_rate": _mean(hit), "compared": {}}
    for name, values in others.items():
        known = np.isfinite(values)
        found = sample.take(known).compare({"ml": p[known], name: values[known]}, name) if known.any() else {}
        result["compared"][name] = int(known.sum())
        result |= found if name == "base" else {key: entry for key, entry in found.items() if key != "ml"}
    has_rule = np.isfinite(rule)
    with_rule: dict[str, Any] = {"rows": int(has_rule.sum()), "base_rate": _mean(hit[has_rule])}
    answers = {"ml": p, "rule": rule}
    for name, (ours, theirs) in {"served": (ml_weight, 1 - ml_weight), "blend": BLEND}.items():
        answers[name] = np.clip(ours * p + theirs * rule, 0, 1)
    if has_rule.any():
        paired = {name: values[has_rule] for name, values in answers.items()}
        with_rule |= sample.take(has_rule).compare(paired, "rule")
    result |= {"with_rule": with_rule, "by_pattern_type": _by_type(dataset, answers, hit)}
    result |= {"reliability": reliability(p, hit), "ece_null": perfect_ece(p, dataset, seed=seed)}
    result["verdicts"] = verdicts(result)
    result["refused"] = refusals(result)
    result["method"] = _method(dataset, p, others["base"], sample)
    return result


def _method(dataset: Dataset, p: Floats, base: Floats, sample: Sample) -> dict[str, Any]:
    hit = sample.hit
    found = blocks.mean((p - hit) ** 2 - (base - hit) ** 2, sample.block)
    return {
        "log_clip": LOG_CLIP,
        "ece_bins": ECE_BINS,
        "resamples": sample.resamples,
        "interval": blocks.LEVEL,
        "block_s": blocks.length_s(dataset) if len(dataset) else 0,
        "blocks": len(np.unique(sample.block)),
        "design_effect": number(found.design_effect),
        "uniqueness": blocks.uniqueness(dataset),
        "blend_weights": list(BLEND),
    }


def compare(
    answers: Mapping[str, Floats], baseline: str, dataset: Dataset, *, seed: int, resamples: int = RESAMPLES
) -> dict[str, Any]:
    """Metrics of each of ``answers`` to all rows of ``dataset``, and as ``A_minus_BASELINE`` the paired differences."""
    hit = dataset.positive.astype(np.float64)
    return Sample(hit, blocks.blocks_of(dataset), seed, resamples).compare(answers, baseline)


def block_weights(dataset: Dataset, *, seed: int, resamples: int) -> Floats:
    """How often each row counts in each resample of whole calendar blocks, [resamples, N]."""
    member, drawn = blocks.draws(blocks.blocks_of(dataset), seed=seed, resamples=resamples)
    return drawn[:, member]


_OPPONENTS: Final = {
    "base": "the base rate of earlier rows",
    "rule": "the rule",
    "first_passage": "first passage",
    "first_passage_served": "first passage with its corrections",
    "champion": "the champion",
}


def verdicts(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One entry for each interval of a difference that excludes zero, in either direction, with a sentence."""
    if not metrics["rows"]:
        return []
    places = dict.fromkeys(_OPPONENTS, metrics) | {"rule": metrics["with_rule"]}
    found = []
    for name, place in places.items():
        for score, title in METRICS.items():
            entry = place.get(f"ml_minus_{name}", {}).get(score)
            if entry is None:
                continue
            sign = -1 if score == "roc_auc" else 1
            claim = verdict(*(_times(sign, entry[side]) for side in ("low", "high")[::sign]))
            if claim in (Verdict.BETTER, Verdict.WORSE):
                sentence = f"By {title} the model {claim} {_OPPONENTS[name]}."
                found.append({"against": name, "score": score, "verdict": claim.name.lower(), "sentence": sentence})
    auc, null = metrics["ml"]["roc_auc"], metrics["ece_null"]
    if auc["high"] is not None and auc["high"] < CHANCE:
        sentence = "By ROC AUC the model is worse than chance: it puts rows in the wrong order."
        found.append({"against": "chance", "score": "roc_auc", "verdict": "worse", "sentence": sentence})
    if null["high"] is not None and metrics["ml"]["ece"]["value"] > null["high"]:
        sentence = "Its calibration error is larger than a perfect model would show."
        found.append({"against": "perfect", "score": "ece", "verdict": "worse", "sentence": sentence})
    return found


def refusals(metrics: Mapping[str, Any]) -> list[str]:
    """Why this model should not be served, a sentence for each reason; empty when there is none."""
    worse = {(one["against"], one["score"]) for one in metrics["verdicts"] if one["verdict"] == "worse"}
    found = []
    if ("first_passage", "brier") in worse:
        entry = metrics["ml_minus_first_passage"]["brier"]
        found.append(
            f"it is worse than first passage, which needs no training: its Brier score is higher by {_signed(entry)}"
        )
    if ("chance", "roc_auc") in worse:
        entry = metrics["ml"]["roc_auc"]
        found.append(f"it is worse than chance: its ROC AUC is {_signed(entry)}")
    return found


def _signed(entry: Mapping[str, float]) -> str:
    return f"{entry['value']:.4f} [{entry['low']:.4f}, {entry['high']:.4f}]"


def perfect_ece(p: Floats, dataset: Dataset, *, seed: int, draws: int = NULL_DRAWS) -> dict[str, float | None]:
    """The calibration error of a perfect model on these rows: outcomes drawn from ``p`` [N], overlaps kept.

    Its median and 95 % quantile over ``draws``. Of more rows than _MOST_NULL_ROWS the newest are drawn, and the error
    is that of so many.
    """
    rows = slice(max(0, len(p) - _MOST_NULL_ROWS), None)
    p, dataset = p[rows], dataset.take(rows)
    if len(p) == 0:
        return {"median": None, "high": None}
    rng, shocks = np.random.default_rng(seed), shocks_of(dataset)
    three = np.stack([1 - p, np.zeros_like(p), p], axis=1)
    found = [expected_calibration_error(p, outcomes(shocks.draw(rng), three) == POSITIVE) for _ in range(draws)]
    median, high = np.quantile(found, _NULL)
    return {"median": float(median), "high": float(high)}


def _by_type(dataset: Dataset, answers: Mapping[str, Floats], hit: Floats) -> dict[str, Any]:
    result: dict[str, Any] = {}
    types = dataset.inputs["pattern_type"].astype(str)
    for kind in np.unique(types):
        rows = types == kind
        entry: dict[str, Any] = {"rows": int(rows.sum()), "base_rate": _mean(hit[rows])}
        if entry["rows"] >= MIN_ROWS_BY_TYPE:
            for name in ("ml", "rule"):
                known = rows & np.isfinite(answers[name])
                entry[name] = figures(answers[name][known], hit[known])
        result[str(kind)] = entry
    return result


def _mean(values: Floats) -> float | None:
    return float(values.mean()) if len(values) else None


def _times(sign: int, value: float | None) -> float | None:
    return None if value is None else sign * value
