"""Parting rows by time into folds, each judged by what was known before it; no label window crosses a boundary.

A row learns from its label window, detected_at to horizon_at, so one whose window reaches into a later part would show
that part's future: it is purged. The end of the *horizon* decides, not the moment at which the outcome was known: by
the latter only quick outcomes would stay near a boundary. An embargo after each boundary drops the rows that are most
alike to those just before it (their bar windows overlap almost wholly). Both are the remedies of López de Prado,
*Advances in Financial Machine Learning* (2018), chapter 7.

Folds are of growing length: what was fitted on all rows before a fold answers the fold, then the next one is fitted
with the fold as well. So most rows are answered by something that has not seen them, and the last fit can have them
all.

Parameters of learners, when they are searched for, are judged on folds of the same kind within the rows before all
these folds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.dataset import Dataset

TEST_SHARE: Final = 0.2
FOLD_SHARES: Final = (1 / 3, 1 / 2, 2 / 3, 5 / 6)
"""Where each fold begins, as a share of the rows before the test."""
FOLDS: Final = "forward folds"
HELD_OUT: Final = "held-out rows"
"""What the metrics of a model are measured on."""
EMBARGO_SHARE: Final = 0.01
"""Of the whole time span, dropped after each boundary when no length is given."""

Index = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Fold:
    """Rows of a later time, and the rows to fit on whose outcomes were all known before it."""

    fit: Index
    later: Index
    boundary: int
    """Unix seconds; ``later`` takes rows from there on, the embargo later."""


@dataclass(frozen=True, slots=True)
class Split:
    """Row indexes of each part, in time order, and why the other rows are in none.

    ``fit`` and ``test`` do not meet; the folds divide ``fit`` once more.
    """

    folds: tuple[Fold, ...]
    fit: Index
    test: Index
    boundary: int
    """Unix seconds; ``test`` takes rows from there on, the embargo later. After every horizon without a test."""
    embargo_s: int
    purged: int
    embargoed: int

    @property
    def judged(self) -> Index:
        """The rows of all folds, each answered by what was fitted before it."""
        return np.concatenate([fold.later for fold in self.folds])

    def parts(self) -> dict[str, Index]:
        """What is fitted on, at first and at last, the rows that the folds judge, and the test where there is one."""
        found = {"first fold": self.folds[0].fit, "fit": self.fit, "folds": self.judged}
        return found | ({"test": self.test} if len(self.test) else {})


def split_by_time(dataset: Dataset, *, test_share: float = TEST_SHARE, embargo_s: int | None = None) -> Split:
    """Cut at the time that leaves about ``test_share`` of the rows to test on, and those before it into folds.

    A share of 0 leaves every row to the folds. Rows of one instant always stay together. ``embargo_s`` None means
    ``EMBARGO_SHARE`` of the time span. A part may come out empty; the caller says so if it needs rows there.
    """
    if not 0 <= test_share < 1:
        raise ValueError(f"the share of the test must be at least 0 and below 1, not {test_share}")
    start, end = dataset.detected_at, dataset.horizon_at
    if embargo_s is None:
        embargo_s = round(EMBARGO_SHARE * int(start[-1] - start[0])) if len(dataset) else 0
    boundary = _moment(start, 1 - test_share) if test_share else int(end.max(initial=0)) + 1
    before = start < boundary
    fit = np.flatnonzero(before & (end < boundary))
    test = np.flatnonzero(start >= boundary + embargo_s)
    folds = _folds(dataset, fit, boundary, embargo_s)
    purged = int(before.sum()) - len(fit)
    return Split(folds, fit, test, boundary, embargo_s, purged, len(dataset) - int(before.sum()) - len(test))


def tuning_folds(dataset: Dataset, split: Split) -> tuple[Fold, ...]:
    """Folds alike within the rows that the first fold of ``split`` is fitted on.

    Later rows judge the candidates. Had they a say in the learners' parameters, the ensemble would look better on them
    than it is.
    """
    first = split.folds[0]
    return _folds(dataset, first.fit, first.boundary, split.embargo_s)


def _folds(dataset: Dataset, rows: Index, end_s: int, embargo_s: int) -> tuple[Fold, ...]:
    """Folds of growing length among ``rows``, which all lie before ``end_s``."""
    start, end = dataset.detected_at[rows], dataset.horizon_at[rows]
    openings = [_moment(start, share) for share in FOLD_SHARES]
    return tuple(
        Fold(rows[end < opening], rows[(start >= opening + embargo_s) & (start < closing)], opening)
        for opening, closing in zip(openings, [*openings[1:], end_s], strict=True)
    )


def _moment(start: NDArray[np.int64], share: float) -> int:
    """The time before which about ``share`` of the rows lie; 0 without rows."""
    return int(start[min(len(start) - 1, round(len(start) * share))]) if len(start) else 0
