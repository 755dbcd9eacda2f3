"""Means over rows that are not independent, with 95 % intervals from sums over calendar blocks.

Rows near in time share bars, and rows of one day share the market. So the rows of one block of time, all symbols
together, count as one draw. With S_k the sum of the values in block k, N_k its rows, N = sum N_k, m = sum S_k / N and K
blocks, the standard error of m is

    sqrt(K / (K - 1) * sum_k (S_k - m N_k)^2) / N,

the ratio estimator of clustered sampling (Cochran, *Sampling Techniques*, 1977, chapter 9), and the interval takes
Student's t with K - 1 degrees of freedom. A block is as long as a label horizon at least.
"""

# To be replaced by training.blocks, which has the same ``mean``, once training's own evaluation is made of blocks.

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

Floats = NDArray[np.float64]

LEVEL: Final = 0.95


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean with its standard error by blocks, which is NaN with fewer than two blocks."""

    value: float
    error: float
    rows: int
    blocks: int

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """Low and high; NaN where there is no error."""
        if self.blocks < 2:
            return math.nan, math.nan
        half = float(stdtrit(self.blocks - 1, (1 + level) / 2)) * self.error
        return self.value - half, self.value + half


def mean(values: Floats, block: NDArray[np.int64]) -> Mean:
    """The mean of ``values`` [N], whose rows lie in the blocks numbered ``block`` [N]."""
    rows = len(values)
    if rows == 0:
        return Mean(math.nan, math.nan, 0, 0)
    _, member = np.unique(block, return_inverse=True)
    count = int(member.max()) + 1
    centre = float(values.mean())
    if count < 2:
        return Mean(centre, math.nan, rows, count)
    sums = np.bincount(member, values - centre, minlength=count)
    return Mean(centre, math.sqrt(count / (count - 1) * float(sums @ sums)) / rows, rows, count)
