"""Contributions of features to the answer of any function, estimated over random orders of the features.

Features change one by one from a background row's values to those of the explained row. A feature's contribution is the
change of the answer at its step, averaged over orders (Štrumbelj and Kononenko, *Explaining prediction models and
individual predictions with feature contributions*, 2014). Each order is walked from both ends: antithetic sampling,
which removes much of the noise (Mitchell et al., *Sampling permutations for Shapley value estimation*, 2022). Every
walk begins at a background row's answer and ends at the row's own, so the contributions always add up to the answer
less the mean over the background; only their shares are uncertain.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Rows = NDArray[np.float32]

PAIRS: Final = 2
"""Orders for each background row, each walked both ways. Two is the least that shows how much orders differ."""
_CHUNK: Final = 2_048


@dataclass(frozen=True, slots=True)
class Estimate:
    """``contributions`` [F] add up to ``answer`` less ``base``; ``errors`` [F] are their standard errors."""

    base: float
    answer: float
    contributions: Floats
    errors: Floats


def estimate(
    answer: Callable[[Rows], Floats],
    row: Rows,
    background: Rows,
    rng: np.random.Generator,
    *,
    pairs: int = PAIRS,
) -> Estimate:
    """Explain ``answer`` [N, F] -> [N] at ``row`` [F] against ``background`` [B, F].

    The error is that of the orders alone, estimated from how the orders of one background row differ:

        variance = sum over b of (variance of the pairs of b / pairs) / B^2.

    The background itself is not sampled: it is part of the question.
    """
    own = float(answer(row[None])[0])
    behind = answer(background)
    walks = [_Walk(row, base, rng) for base in background for _ in range(pairs)]
    mixed = iter(_answer_walks(answer, walks))
    starts = np.repeat(behind, pairs)
    walked = np.array([walk.contributions(next(mixed), start, own) for walk, start in zip(walks, starts, strict=True)])
    by_row = walked.reshape(len(background), pairs, len(row))
    variance = by_row.var(axis=1, ddof=1).sum(axis=0) / pairs / len(background) ** 2
    return Estimate(float(behind.mean()), own, by_row.mean(axis=(0, 1)), np.sqrt(variance))


class _Walk:
    """One order of the features in which the row and a background row differ, to be walked both ways."""

    def __init__(self, row: Rows, base: Rows, rng: np.random.Generator) -> None:
        differs = np.flatnonzero((row != base) & ~(np.isnan(row) & np.isnan(base)))
        self._row, self._base = row, base
        self._order = rng.permutation(differs)

    def mixtures(self) -> Rows:
        """The rows between the two ends: forward after 1, 2, ... features, then backward."""
        steps = max(0, len(self._order) - 1)
        rank = np.full(len(self._row), len(self._order))
        rank[self._order] = np.arange(len(self._order))
        passed = np.arange(1, steps + 1)[:, None]
        forward = rank < passed
        backward = (rank >= len(self._order) - passed) & (rank < len(self._order))
        return np.where(np.concatenate([forward, backward]), self._row, self._base)

    def contributions(self, mixed: Floats, start: float, end: float) -> Floats:
        """The change at each feature's step, mean of both ways; ``mixed`` are the answers to :meth:`mixtures`."""
        found = np.zeros(len(self._row))
        if len(self._order) == 0:
            return found
        forward, backward = np.split(mixed, 2)
        for answers, order in ((forward, self._order), (backward, self._order[::-1])):
            found[order] += np.diff(np.concatenate([[start], answers, [end]])) / 2
        return found


def _answer_walks(answer: Callable[[Rows], Floats], walks: list[_Walk]) -> list[Floats]:
    """The answers to each walk's mixtures, computed for many walks at a time."""
    found: list[Floats] = []
    waiting: list[Rows] = []
    for walk in walks:
        waiting.append(walk.mixtures())
        if sum(map(len, waiting)) >= _CHUNK:
            found += _answer_together(answer, waiting)
            waiting = []
    return found + (_answer_together(answer, waiting) if waiting else [])


def _answer_together(answer: Callable[[Rows], Floats], parts: list[Rows]) -> list[Floats]:
    rows = np.concatenate(parts)
    answers = answer(rows) if len(rows) else np.empty(0)
    return np.split(answers, np.cumsum([len(part) for part in parts])[:-1])
