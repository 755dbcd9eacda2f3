"""Errors of means over rows that are not independent: sums over calendar blocks, all symbols together.

Rows near in time share bars, and rows of one day share the market, so a standard error that counts rows is too small.
Here the rows of one block of calendar time count as one draw. With S_k the sum of the values in block k, N_k its rows,
N = sum N_k, m = sum S_k / N and K blocks,

    error = sqrt(K / (K - 1) * sum_k (S_k - m N_k)^2) / N,

the ratio estimator of clustered sampling (Cochran, *Sampling Techniques*, 1977, chapter 9; Liang and Zeger,
*Longitudinal data analysis using generalized linear models*, 1986). Intervals take Student's t with K - 1 degrees of
freedom, so few blocks give wide intervals. A block is at least one label horizon long: two label windows then overlap
only within a block or across one boundary.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from training.dataset import Dataset

Floats = NDArray[np.float64]
Block = NDArray[np.int64]

LEVEL: Final = 0.95
_DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean and its standard error by blocks; ``error`` is NaN with fewer than two blocks."""

    value: float
    error: float
    design_effect: float
    """The variance by blocks over the variance that independent rows would have."""
    rows: int
    blocks: int

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """Low and high; NaN where there is no error."""
        if self.blocks < 2:
            return math.nan, math.nan
        half = float(stdtrit(self.blocks - 1, (1 + level) / 2)) * self.error
        return self.value - half, self.value + half


def length_s(dataset: Dataset) -> int:
    """Seconds of a block: the label horizon, a day at least.

    The median horizon of the timeframe where it is longest: one symbol that did not trade for a year does not decide.
    """
    span = dataset.horizon_at - dataset.detected_at
    kinds = dataset.inputs["timeframe"].astype(str)
    return max([_DAY_S, *(int(np.median(span[kinds == kind])) for kind in np.unique(kinds))])


def blocks_of(dataset: Dataset) -> Block:
    """The number of the calendar block that each row was detected in, [N], counted from 1970."""
    return np.asarray(dataset.detected_at // length_s(dataset), np.int64)


def mean(values: Floats, block: Block) -> Mean:
    """The mean of ``values`` [N], whose rows lie in the blocks numbered ``block`` [N]."""
    rows = len(values)
    if rows == 0:
        return Mean(math.nan, math.nan, math.nan, 0, 0)
    _, member = np.unique(block, return_inverse=True)
    count = int(member.max()) + 1
    centre = float(values.mean())
    if count < 2:
        return Mean(centre, math.nan, math.nan, rows, count)
    sums = np.bincount(member, values - centre, minlength=count)
    variance = count / (count - 1) * float(sums @ sums) / rows**2
    by_rows = float(values.var()) / rows
    return Mean(centre, math.sqrt(variance), variance / by_rows if by_rows > 0 else math.nan, rows, count)


def draws(block: Block, *, seed: int, resamples: int) -> tuple[NDArray[np.intp], Floats]:
    """Which block each row is of [N], and how often each of the K blocks counts in each resample [resamples, K]."""
    found, member = np.unique(block, return_inverse=True)
    count = len(found)
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / max(1, count)), size=resamples)
    return member, np.asarray(drawn, np.float64)


def uniqueness(dataset: Dataset) -> float:
    """The mean uniqueness of the label windows of each symbol, in (0, 1]; 1 without rows.

    A window's uniqueness is the mean, over its time, of one over the number of windows of its symbol open then (López
    de Prado, *Advances in Financial Machine Learning*, 2018, chapter 4). So many of N labels are worth independent
    ones.
    """
    if len(dataset) == 0:
        return 1.0
    symbols = dataset.symbol.astype(str)
    found = [
        _uniqueness(dataset.detected_at[own], dataset.horizon_at[own] + 1)
        for symbol in np.unique(symbols)
        for own in [symbols == symbol]
    ]
    return float(np.concatenate(found).mean())


def _uniqueness(start: Block, end: Block) -> Floats:
    """Of half-open windows [start, end)."""
    moments = np.unique(np.concatenate([start, end]))
    first, last = np.searchsorted(moments, start), np.searchsorted(moments, end)
    change = np.bincount(first, minlength=len(moments)) - np.bincount(last, minlength=len(moments))
    open_then = np.cumsum(change)[:-1]
    area = np.concatenate([[0.0], np.cumsum(np.diff(moments) / np.maximum(open_then, 1))])
    return np.asarray((area[last] - area[first]) / (end - start), np.float64)
