"""Outcomes drawn from probabilities, with the dependence that real rows have: overlapping windows share their shocks.

Each symbol gets a random walk on a grid of time that shares part of its steps with all the others. A row's draw is its
walk's change over the row's label window, times the direction, turned into a number uniform on (0, 1): a Gaussian
copula (Sklar, 1959). So every single row has exactly its probabilities, two patterns on the same bars in one direction
end alike, in opposite directions apart, and windows that overlap by half are half alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from training.dataset import NEGATIVE, NEUTRAL, POSITIVE, Dataset

Floats = NDArray[np.float64]

COMMON: Final = 0.3
"""The share of a step's variance that is the market's: about what daily returns of large stocks have in common."""
_MOST_CELLS: Final = 4_000_000


@dataclass(frozen=True, slots=True)
class Shocks:
    """The rows of a dataset laid on a grid of time: where each window begins and ends, and in whose walk."""

    symbol: NDArray[np.intp]
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    direction: Floats
    cells: int
    symbols: int

    def draw(self, rng: np.random.Generator) -> Floats:
        """Numbers uniform on (0, 1), [N]; large ones favour their row's pattern."""
        if len(self.symbol) == 0:
            return np.empty(0)
        steps = rng.standard_normal((self.symbols, self.cells)) * np.sqrt(1 - COMMON)
        steps += rng.standard_normal(self.cells) * np.sqrt(COMMON)
        walk = np.concatenate([np.zeros((self.symbols, 1)), np.cumsum(steps, axis=1)], axis=1)
        change = walk[self.symbol, self.last] - walk[self.symbol, self.first]
        return np.asarray(ndtr(self.direction * change / np.sqrt(self.last - self.first)), np.float64)


def shocks_of(dataset: Dataset) -> Shocks:
    """The grid has a cell for each bar of the label horizon, larger ones where that would be too many."""
    names, symbol = np.unique(dataset.symbol.astype(str), return_inverse=True)
    if len(dataset) == 0:
        return Shocks(symbol, dataset.detected_at, dataset.horizon_at, np.empty(0), 0, 0)
    start, end = dataset.detected_at - dataset.detected_at[0], dataset.horizon_at - dataset.detected_at[0]
    bar_s = max(1, int(np.median(end - start)) // dataset.horizon)
    cell_s = max(bar_s, int(end.max()) * len(names) // _MOST_CELLS)
    first = start // cell_s
    last = np.maximum(first + 1, end // cell_s)
    direction = np.asarray(dataset.inputs["direction"], np.float64)
    return Shocks(symbol, first, last, np.where(direction < 0, -1.0, 1.0), int(last.max()), len(names))


def outcomes(uniform: Floats, probabilities: Floats) -> NDArray[np.int8]:
    """The class of each row whose P(negative, neutral, positive) are ``probabilities`` [N, 3]."""
    found = np.where(uniform > 1 - probabilities[:, 2], POSITIVE, NEUTRAL)
    return np.where(uniform < probabilities[:, 0], NEGATIVE, found).astype(np.int8)
