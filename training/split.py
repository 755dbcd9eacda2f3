"""Parting rows by time: fit, calibrate, test, with no label window across a boundary.

A row learns from everything up to ``outcome_at``, so one whose window [detected_at, outcome_at] reaches into the next
part would show that part's future: it is purged. An embargo after each boundary drops the rows that are most alike to
those just before it (their bar windows overlap almost wholly). Both are the remedies of López de Prado, *Advances in
Financial Machine Learning* (2018), chapter 7.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.dataset import Dataset

SHARES: Final = (0.6, 0.2, 0.2)
EMBARGO_SHARE: Final = 0.01
"""Of the whole time span, dropped after each boundary when no length is given."""


@dataclass(frozen=True, slots=True)
class Split:
    """Row indexes of each part, in time order, and why the other rows are in none."""

    fit: NDArray[np.intp]
    calibrate: NDArray[np.intp]
    test: NDArray[np.intp]
    boundaries: tuple[int, int]
    """Unix seconds; a part takes rows from its boundary on, the embargo later."""
    embargo_s: int
    purged: int
    embargoed: int

    def parts(self) -> dict[str, NDArray[np.intp]]:
        return {"fit": self.fit, "calibrate": self.calibrate, "test": self.test}


def split_by_time(
    dataset: Dataset, *, shares: tuple[float, float, float] = SHARES, embargo_s: int | None = None
) -> Split:
    """Cut at the times that leave about ``shares`` of the rows in each part.

    Rows of one instant always stay together. ``embargo_s`` None means ``EMBARGO_SHARE`` of the time span. A part may
    come out empty; whoever needs rows there says so.
    """
    if min(shares) <= 0 or abs(sum(shares) - 1) > 1e-9:
        raise ValueError(f"the three shares must be positive and sum to 1, not {shares}")
    rows, start, end = len(dataset), dataset.detected_at, dataset.outcome_at
    if rows == 0:
        nothing = np.empty(0, np.intp)
        return Split(nothing, nothing, nothing, (0, 0), embargo_s or 0, 0, 0)
    if embargo_s is None:
        embargo_s = round(EMBARGO_SHARE * int(start[-1] - start[0]))
    first, second = (int(start[min(rows - 1, round(rows * share))]) for share in np.cumsum(shares)[:2])
    part = (start >= first).astype(np.int8) + (start >= second)
    limit = np.array([first, second, np.iinfo(np.int64).max])[part]
    opening = np.array([np.iinfo(np.int64).min, first + embargo_s, second + embargo_s])[part]
    purged, embargoed = end >= limit, start < opening
    kept = ~purged & ~embargoed
    fit, calibrate, test = (np.flatnonzero(kept & (part == number)) for number in range(3))
    return Split(fit, calibrate, test, (first, second), embargo_s, int(purged.sum()), int((embargoed & ~purged).sum()))
