"""How much the model weighs beside the rule: the share that unseen rows ask for, with the model alone as the prior.

A blend w * ML + (1 - w) * rule misses an outcome y (1 positive, 0 other) by e - w x, with x = ML - rule and
e = y - rule. The w of the least squared error, each of N rows counted u times (the mean uniqueness of their label
windows) and a prior at 1 that is worth PRIOR_ROWS rows, is ridge regression towards 1 (Hoerl and Kennard, *Ridge
regression*, 1970; weights of forecasts by regression: Granger and Ramanathan, *Improved methods of combining
forecasts*, 1984):

    w = (u sum x e + p) / (u sum x^2 + p),  p = PRIOR_ROWS mean x^2,  held in [0, 1].

Its standard error is clustered by calendar block, as those of ``blocks`` are:

    sqrt(K / (K - 1) * sum_k (sum over block k of x (e - w x))^2) / sum x^2.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from training import blocks
from training.dataset import Dataset

Floats = NDArray[np.float64]

PRIOR_ROWS: Final = 20


@dataclass(frozen=True, slots=True)
class Weight:
    """The model's weight, the rest being the rule's; ``standard_error`` is None with fewer than two blocks."""

    ml_weight: float
    standard_error: float | None
    rows: int
    blocks: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def learn(probability: NDArray[np.floating[Any]], dataset: Dataset) -> Weight | None:
    """The weight of P(positive) [N], answers to rows that the model had not seen; None where no row has a rule."""
    rule = np.asarray(dataset.inputs["rule_confidence"], np.float64)
    known = np.isfinite(rule)
    if not known.any():
        return None
    own, p = dataset.take(known), np.asarray(probability, np.float64)[known]
    hit = own.positive.astype(np.float64)
    return weigh(p - rule[known], hit - rule[known], blocks.blocks_of(dataset)[known], blocks.uniqueness(own))


def weigh(x: Floats, e: Floats, block: blocks.Block, uniqueness: float) -> Weight:
    """The formulas above for x and e [N >= 1] of rows in the blocks numbered ``block`` [N]."""
    _, member = np.unique(block, return_inverse=True)
    count = int(member.max()) + 1
    squares = float(x @ x)
    if squares == 0.0:
        # The two never differ, so any weight is as good.
        return Weight(1.0, None, len(x), count)
    prior = PRIOR_ROWS * squares / len(x)
    weight = min(1.0, max(0.0, (uniqueness * float(x @ e) + prior) / (uniqueness * squares + prior)))
    error = None
    if count > 1:
        sums = np.bincount(member, x * (e - weight * x))
        error = float(np.sqrt(count / (count - 1) * (sums @ sums))) / squares
    return Weight(weight, error, len(x), count)
