"""Which correction is kept: every candidate answers later rows, and the simplest that does as well as the best stays.

Each fold's later rows are answered by what was fitted before them (``split``). The ensemble's slope within a fold comes
from its answers to earlier folds alone, so the first fold's is 0: first passage. Candidates are compared by Brier
score, row by row, with errors from sums over calendar blocks (``blocks``). Kept is the simplest whose mean loss is
within one standard error of the lowest (the one-standard-error rule of Breiman et al., *Classification and Regression
Trees*, 1984, with the difference paired). Where rows show no skill, that is first passage itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray

from db_functions.progress import bar
from training import blocks
from training.correction import (
    CANDIDATES,
    Ensemble,
    FirstPassage,
    Fitted,
    Recalibrated,
    Rows,
)
from training.dataset import POSITIVE
from training.errors import UnknownCandidate
from training.estimation import fit_ensemble, fit_line, fit_ridge, fit_slope
from training.learners import FittedEnsemble, Recipe
from training.split import Fold, Index

Floats = NDArray[np.float64]

ERRORS: Final = 1.0
"""Standard errors within which a simpler candidate is kept."""


@dataclass(frozen=True, slots=True)
class Said:
    """What an ensemble said of rows that it had not seen."""

    rows: Index
    correction: Floats


@dataclass(frozen=True, slots=True)
class Evidence:
    """Each candidate's answers [M, 3] to the rows of all folds [M], what the ensembles said, and the last fold's
    fits.
    """

    judged: Index
    answers: Mapping[str, Floats]
    said: tuple[Said, ...]
    last: Mapping[str, Fitted]


@dataclass(frozen=True, slots=True)
class Choice:
    """The candidate that is kept, and why."""

    kept: str
    best: str
    by_name: bool
    compared: Sequence[Mapping[str, Any]]

    def to_dict(self) -> dict[str, Any]:
        """For ``metrics``: losses of each candidate, its difference from first passage and from the best."""
        return {
            "kept": self.kept,
            "best": self.best,
            "reason": "by_name" if self.by_name else "best" if self.kept == self.best else "simplest_within_error",
            "errors": ERRORS,
            "compared": [dict(one) for one in self.compared],
        }


def check_candidate(name: str | None) -> str | None:
    """``name``, or None for the rule above. Raises UnknownCandidate."""
    if name is not None and name not in CANDIDATES:
        raise UnknownCandidate(f"no candidate {name}; choose from {', '.join(CANDIDATES)}")
    return name


def forward(
    rows: Rows, folds: Sequence[Fold], recipe: Recipe, *, names: Sequence[str] = CANDIDATES, progress: bool = False
) -> Evidence:
    """Answer each fold's later rows with every candidate named, fitted before them."""
    answers: dict[str, list[Floats]] = {name: [] for name in names}
    said: list[Said] = []
    last: dict[str, Fitted] = {}
    # One fold after the other, or side by side where joblib is configured so (``parallel``).
    ensembles = Parallel(return_as="generator")(
        delayed(_ensemble)(rows.features, rows.outcome, rows.weight, fold, recipe)
        for fold in (folds if "ensemble" in names else ())
    )
    for fold in bar(folds, shown=progress, desc="folds", unit="fold"):
        later = rows.take(fold.later)
        last = fit_simple(rows.take(fold.fit), names)
        if "ensemble" in names:
            learners, correction = next(ensembles)
            last["ensemble"] = Fitted(Ensemble(learners, slope_of(rows, said, fold.fit)))
            said.append(Said(fold.later, correction))
        for name, fitted in last.items():
            answers[name].append(fitted.answer(later.features))
    judged = np.concatenate([fold.later for fold in folds])
    return Evidence(judged, {name: np.concatenate(found) for name, found in answers.items()}, tuple(said), last)


def _ensemble(
    features: NDArray[np.floating[Any]], outcome: NDArray[np.int8], weight: float, fold: Fold, recipe: Recipe
) -> tuple[FittedEnsemble, Floats]:
    """What is fitted on a fold, and what it says of the later rows. Arrays are sent to other processes once."""
    rows = Rows(features, outcome, weight)
    learners = fit_ensemble(rows.take(fold.fit), recipe)
    return learners, learners.correction(rows.take(fold.later).features)


def fit_simple(rows: Rows, names: Sequence[str] = CANDIDATES) -> dict[str, Fitted]:
    """Every candidate named except the ensemble."""
    found: dict[str, Fitted] = {}
    if "first_passage" in names:
        found["first_passage"] = Fitted(FirstPassage())
    if "recalibrated" in names:
        found["recalibrated"] = Fitted(Recalibrated(fit_line(rows.offset, rows.hit, rows.weight)))
    if "ridge" in names:
        found["ridge"] = Fitted(fit_ridge(rows))
    return found


def slope_of(rows: Rows, said: Sequence[Said], known: Index) -> float:
    """The ensemble's slope, from what was said of those rows that are among ``known``."""
    if not said:
        return 0.0
    index = np.concatenate([one.rows for one in said])
    correction = np.concatenate([one.correction for one in said])
    kept = np.isin(index, known)
    own = rows.take(index[kept])
    return fit_slope(own.offset, correction[kept], own.hit, own.weight)


def choose(
    evidence: Evidence, outcome: NDArray[np.int8], block: blocks.Block, *, candidate: str | None = None
) -> Choice:
    """The rule above, or ``candidate`` by name; ``outcome`` and ``block`` are of the judged rows [M]."""
    hit = np.asarray(outcome == POSITIVE, np.float64)
    losses = {name: (p[:, 2] - hit) ** 2 for name, p in evidence.answers.items()}
    best = min(losses, key=lambda name: float(losses[name].mean()))
    simplest = next(name for name in losses if _within(losses[name] - losses[best], block))
    compared = []
    for name, loss in losses.items():
        against = blocks.mean(loss - losses["first_passage"], block) if "first_passage" in losses else None
        to_best = blocks.mean(loss - losses[best], block)
        entry: dict[str, Any] = {"name": name, "brier": float(loss.mean())}
        if against is not None:
            low, high = against.interval()
            entry["minus_first_passage"] = {"value": against.value, "low": _number(low), "high": _number(high)}
        entry["minus_best"] = {"value": to_best.value, "error": _number(to_best.error)}
        compared.append(entry)
    return Choice(candidate or simplest, best, candidate is not None, compared)


def refit(rows: Rows, known: Index, kept: str, recipe: Recipe, said: Sequence[Said]) -> Fitted:
    """The candidate kept, fitted on the ``known`` of the rows, with a slope from what was said of them before."""
    own = rows.take(known)
    if kept != "ensemble":
        return fit_simple(own, (kept,))[kept]
    learners: FittedEnsemble = fit_ensemble(own, recipe)
    return Fitted(Ensemble(learners, slope_of(rows, said, known)))


def _within(difference: Floats, block: blocks.Block) -> bool:
    found = blocks.mean(difference, block)
    return not found.value > ERRORS * (found.error if np.isfinite(found.error) else np.inf)


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
