"""Parting rows by time: a last part to test on, and before it folds to calibrate on, no label window across a boundary.

A row learns from everything up to ``outcome_at``, so one whose window [detected_at, outcome_at] reaches into the next
part would show that part's future: it is purged. An embargo after each boundary drops the rows that are most alike to
those just before it (their bar windows overlap almost wholly). Both are the remedies of López de Prado, *Advances in
Financial Machine Learning* (2018), chapter 7.

Calibration needs answers to rows that the answering ensemble was not fitted on. One held-out part gives few of them, of
one period, and keeps the newest rows from the fit. Folds of growing length give more: an ensemble fitted on all rows
before a fold answers the fold, then the next one is fitted with the fold as well. The ensemble that is kept is fitted
on every row before the test.

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

    ``fit`` and ``test`` do not meet; the folds part ``fit`` anew.
    """

    folds: tuple[Fold, ...]
    fit: Index
    test: Index
    boundary: int
    """Unix seconds; ``test`` takes rows from there on, the embargo later."""
    embargo_s: int
    purged: int
    embargoed: int

    @property
    def calibrate(self) -> Index:
        """The rows of all folds, each answered by an ensemble fitted before it."""
        return np.concatenate([fold.later for fold in self.folds])

    def parts(self) -> dict[str, Index]:
        """What is fitted on, at first and at last, calibrated on and tested on."""
        return {"first fold": self.folds[0].fit, "fit": self.fit, "calibrate": self.calibrate, "test": self.test}


def split_by_time(dataset: Dataset, *, test_share: float = TEST_SHARE, embargo_s: int | None = None) -> Split:
    """Cut at the time that leaves about ``test_share`` of the rows to test on, and those before it into folds.

    Rows of one instant always stay together. ``embargo_s`` None means ``EMBARGO_SHARE`` of the time span. A part may
    come out empty; whoever needs rows there says so.
    """
    if not 0 < test_share < 1:
        raise ValueError(f"the share of the test must lie between 0 and 1, not at {test_share}")
    start, end = dataset.detected_at, dataset.outcome_at
    if embargo_s is None:
        embargo_s = round(EMBARGO_SHARE * int(start[-1] - start[0])) if len(dataset) else 0
    boundary = _moment(start, 1 - test_share)
    before = start < boundary
    fit = np.flatnonzero(before & (end < boundary))
    test = np.flatnonzero(start >= boundary + embargo_s)
    folds = _folds(dataset, fit, boundary, embargo_s)
    purged = int(before.sum()) - len(fit)
    return Split(folds, fit, test, boundary, embargo_s, purged, len(dataset) - int(before.sum()) - len(test))


def tuning_folds(dataset: Dataset, split: Split) -> tuple[Fold, ...]:
    """Folds alike within the rows that the first fold of ``split`` is fitted on.

    Later rows calibrate or test. Had they a say in the learners' parameters, the ensemble would look better on them
    than it is, and the calibration would believe it.
    """
    first = split.folds[0]
    return _folds(dataset, first.fit, first.boundary, split.embargo_s)


def _folds(dataset: Dataset, rows: Index, end_s: int, embargo_s: int) -> tuple[Fold, ...]:
    """Folds of growing length among ``rows``, which all lie before ``end_s``."""
    start, end = dataset.detected_at[rows], dataset.outcome_at[rows]
    openings = [_moment(start, share) for share in FOLD_SHARES]
    return tuple(
        Fold(rows[end < opening], rows[(start >= opening + embargo_s) & (start < closing)], opening)
        for opening, closing in zip(openings, [*openings[1:], end_s], strict=True)
    )


def _moment(start: NDArray[np.int64], share: float) -> int:
    """The time before which about ``share`` of the rows lie; 0 without rows."""
    return int(start[min(len(start) - 1, round(len(start) * share))]) if len(start) else 0
