"""Skill that may be looked at every day: evidence and bounds that hold at every moment, not at one chosen beforehand.

A forecast p and a baseline q of an outcome y (1 positive, 0 other) differ by d = (q - y)^2 - (p - y)^2 in Brier score;
above 0 the forecast is better. d is summed over the finished calendar blocks k = 1 .. K, all symbols together:

    S_k = sum of d over the rows of block k,  V = sum_k S_k^2,  N = rows,
    E = sqrt(r / (V + r)) exp((sum_k S_k)^2 / (2 (V + r))),
    bounds of the mean difference: (sum_k S_k +- sqrt((V + r) (2 ln(1 / a) + ln((V + r) / r)))) / N.

Without skill E ever reaches 1 / a in a share a of cases at most: if you look after every block, for ever, you are wrong
once in twenty at a = 0.05. Zero lies outside the bounds exactly when E >= 1 / a.

**Rows that depend on each other.** Rows near in time share bars. A row counts only if it was detected in the first two
thirds of its block, and a third is at least one label horizon: every outcome of a block is then known before the next
block begins. Without skill a row's d has a mean of 0 given everything known when it was detected, so S_k has a mean of
0 given the blocks before it, however its own rows depend on each other.

**Why E holds.** For any l, exp(l sum S - l^2 V / 2) is a nonnegative supermartingale where S_k, given the blocks before
it, is as likely as -S_k (de la Pena, *A general class of exponential inequalities for martingales and ratios*, 1999).
E is its average over normal l of mean 0 and variance 1 / r, hence one too, and Ville's inequality bounds how often it
is ever large (Robbins, *Statistical methods related to the law of the iterated logarithm*, 1970; Howard, Ramdas,
McAuliffe and Sekhon, *Time-uniform, nonparametric, nonasymptotic confidence sequences*, 2021; for differences of
scores: Henzi and Ziegel, *Valid sequential inference on probability forecast performance*, 2022; Choe and Ramdas,
*Comparing sequential forecasters*, 2024). Sums over many rows are nearly symmetric; where they are not, it holds
asymptotically (Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, *Time-uniform central limit theory and asymptotic
confidence sequences*, 2024). ``ml.skill`` is the same in SQL.

r has to be fixed before any outcome. It is ``PRIOR`` times the sum of (p - q)^2 over the rows of the first two blocks:
the forecasts alone say it, as long as outcomes do not decide which rows these blocks get. (p - q)^2 is the largest
variance that d can have, so r is some ten blocks of independent rows. Five values of ``PRIOR`` from 0.25 to 5 were
simulated before one was chosen; 5 found a true skill most often where rows depend on each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Block = NDArray[np.int64]

ALPHA: Final = 0.05
PRIOR: Final = 5.0
_FIRST: Final = 2
_COUNTED: Final = 2 / 3
_DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums over the rows of each of K blocks, in order of time, all [K]."""

    rows: Floats
    gain: Floats
    """Of (q - y)^2 - (p - y)^2."""
    spread: Floats
    """Of (p - q)^2."""


@dataclass(frozen=True, slots=True)
class Skill:
    """What is known after each of K blocks, all [K]; NaN bounds and E = 1 where p and q never differ."""

    rows: Floats
    gain: Floats
    gain_low: Floats
    gain_high: Floats
    e_value: Floats

    @property
    def better(self) -> NDArray[np.bool_]:
        return (self.e_value >= 1 / ALPHA) & (self.gain > 0)

    @property
    def worse(self) -> NDArray[np.bool_]:
        return (self.e_value >= 1 / ALPHA) & (self.gain < 0)


def counted(detected_at: Block, block_days: int) -> NDArray[np.bool_]:
    """Which rows count, [N]: those detected (Unix seconds) on a day of the first two thirds of their block."""
    return np.asarray(detected_at // _DAY_S % block_days < _COUNTED * block_days)


def sums(p: Floats, q: Floats, y: Floats, detected_at: Block, block_days: int) -> Sums:
    """Block sums of forecasts p against q for outcomes y, all [N], of rows detected at Unix seconds [N]."""
    kept = counted(detected_at, block_days)
    p, q, y = p[kept], q[kept], y[kept]
    _, member = np.unique(detected_at[kept] // (block_days * _DAY_S), return_inverse=True)
    gain = (q - y) ** 2 - (p - y) ** 2
    return Sums(
        np.bincount(member).astype(np.float64),
        np.bincount(member, gain).astype(np.float64),
        np.bincount(member, (p - q) ** 2).astype(np.float64),
    )


def skill(found: Sums, alpha: float = ALPHA) -> Skill:
    """The formulas above after each block; after the first, r is that block's alone."""
    total, rows = np.cumsum(found.gain), np.cumsum(found.rows)
    variance = np.cumsum(found.gain**2)
    prior = PRIOR * np.cumsum(found.spread)[np.minimum(np.arange(len(rows)), _FIRST - 1)]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = (variance + prior) / prior
        half = np.sqrt((variance + prior) * (2 * np.log(1 / alpha) + np.log(ratio)))
        e_value = np.exp(total**2 / (2 * (variance + prior))) / np.sqrt(ratio)
    known = prior > 0
    return Skill(
        rows,
        total / rows,
        np.where(known, (total - half) / rows, np.nan),
        np.where(known, (total + half) / rows, np.nan),
        np.where(known, e_value, 1.0),
    )
