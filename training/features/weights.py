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


def _closes() -> NDArray[np.float64]:
    line, signal = _macd()
    return np.stack([_newest_last(table) for table in (_ema(20, 19), _ema(50, 49), line, signal)], axis=1)


CLOSES: Final = _closes()
"""[WINDOW + 1, 4, WINDOW]: EMA 20, EMA 50, MACD line (12, 26) and MACD signal (9) of closes."""

WILDER: Final = _newest_last(_seeded(1 / 14, 14, 14))[:, 1:]
"""Wilder average of 14 changes; bar 0 has no change, so the columns are those of bars 1 and later."""

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


def slope(length: int) -> NDArray[np.float64]:
    """Weights [1, length] of the least-squares slope per bar of the newest ``length`` values."""
    x = np.arange(length) - (length - 1) / 2
    return (x / (x @ x))[None, :]
