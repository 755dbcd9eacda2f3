"""Weights that turn recursive averages into plain weighted sums over the window.

An exponential or a Wilder average is linear in its input, so its newest value is a dot product of the window with
weights that depend only on how many bars there are. A *table* here has shape [WINDOW + 1, WINDOW]: row ``k`` holds the
weights for a history of ``k`` bars, aligned like the window itself (newest last, zeros before the first bar). Rows
that are too short for an average hold zeros; features declare their own least number of bars.

Seeds are those of TA-Lib with an unstable period of 0: an average starts as the plain mean of its first values.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from db_functions.contract import WINDOW

Table = NDArray[np.float64]

_counts: Final = np.arange(WINDOW + 1)[:, None]
_bars: Final = np.arange(WINDOW)[None, :]
"""Number of a bar counted from the first valid one."""


def _seeded(alpha: float, seed: int, start: int) -> Table:
    """Weights by bar number of ``y = y + alpha (x - y)``, begun at bar ``start`` as the mean of ``seed`` values."""
    last = _counts - 1
    age = np.maximum(last - _bars, 0)
    seed_decay = (1 - alpha) ** np.maximum(last - start, 0)
    recursive = np.where(_bars > start, alpha * (1 - alpha) ** age, 0.0)
    seeding = np.where((_bars <= start) & (_bars > start - seed), seed_decay / seed, 0.0)
    return np.where((_bars <= last) & (last >= start), recursive + seeding, 0.0)


def _newest_last(by_bar: Table) -> Table:
    table = np.zeros_like(by_bar)
    for count in range(1, WINDOW + 1):
        table[count, WINDOW - count :] = by_bar[count, :count]
    return table


def _ema(period: int, start: int) -> Table:
    return _seeded(2 / (period + 1), period, start)


def _macd() -> tuple[Table, Table]:
    # TA-Lib begins both averages at the bar where the slow one can begin, so the fast one ignores the first 14 bars.
    line = _ema(12, 25) - _ema(26, 25)
    signal = _ema(9, 33) @ line[1:]
    return line, signal


def _as_of(table: Table, lag: int) -> Table:
    """What a table was ``lag`` bars ago."""
    before = np.zeros_like(table)
    before[lag:, ..., : table.shape[-1] - lag] = table[: len(table) - lag, ..., lag:]
    return before


LAG: Final = 10
RSI_LAG: Final = 5
"""How many bars ago a feature compares with."""


def _closes() -> NDArray[np.float64]:
    line, signal = _macd()
    now = np.stack([_newest_last(table) for table in (_ema(20, 19), _ema(50, 49), line, signal)], axis=1)
    return np.concatenate([now, _as_of(now[:, :3], LAG)], axis=1).transpose(0, 2, 1).copy()


CLOSES: Final = _closes()
"""[WINDOW + 1, WINDOW, 7]: EMA 20, EMA 50, MACD line (12, 26) and MACD signal (9) of closes, then the first three as of
:data:`LAG` bars ago."""

ADX: Final = _newest_last(_seeded(1 / 14, 14, 27))[:, 1:]
"""Wilder average of the directional index, which begins at bar 14."""

_KEEP: Final = 13 / 14
DM_SEED: Final = _newest_last(np.where((_bars >= 1) & (_bars < _counts), _KEEP ** np.minimum(_bars - 13.0, 0.0), 0.0))[
    :, 1:
]
"""Factors on directional movements before :data:`DM_DECAY`: the Wilder *sum* begins as 13 movements, not decayed."""

_AGE: Final = np.arange(WINDOW - 1)[None, :] - np.arange(WINDOW - 1)[:, None]
DM_DECAY: Final = np.where(_AGE >= 0, _KEEP ** np.maximum(_AGE, 0), 0.0)
"""[change, bar]: how much of a change is left in the Wilder sum at a later bar."""


_AVERAGE: Final = _newest_last(_seeded(1 / 14, 14, 14))[:, 1:]
WILDER: Final = np.stack([_AVERAGE, _as_of(_AVERAGE, RSI_LAG), DM_SEED * DM_DECAY[:, -1]], axis=2)
"""[WINDOW + 1, WINDOW - 1, 3]: Wilder average of 14 changes, as of :data:`RSI_LAG` bars ago, and Wilder sum.

Bar 0 has no change, so the rows are those of bars 1 and later.
"""


def slope(length: int) -> NDArray[np.float64]:
    """Weights [1, length] of the least-squares slope per bar of the newest ``length`` values."""
    x = np.arange(length) - (length - 1) / 2
    return (x / (x @ x))[None, :]


def plain_mean(length: int) -> NDArray[np.float64]:
    """Weights [1, length] of the mean of the newest ``length`` values."""
    return np.full((1, length), 1 / length)


def side_by_side(*rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights of the newest values, each [1, its length], as one matrix [longest, rows]."""
    longest = max(row.shape[1] for row in rows)
    return np.concatenate([np.pad(row, ((0, 0), (longest - row.shape[1], 0))) for row in rows]).T
