"""Year by year: each year is answered by what was known before it began, with training's own stages.

Rows whose label horizon ended before the year are what a database would hold then. From them the candidates are judged
on forward folds, one is kept and fitted on all of them (``training.candidates``), and it answers the year.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bench.evidence import prior_free
from training import blocks
from training.candidates import choose, forward, refit
from training.correction import TARGET, Rows
from training.dataset import POSITIVE, Dataset
from training.errors import TooFewRows
from training.export import to_float32
from training.learners import Recipe
from training.pipeline import PLAIN_TARGET, known_rates, require_enough
from training.prepare import compute_features
from training.regressors import DEFAULT
from training.split import Index, split_by_time

Floats = NDArray[np.float64]

BASE: Final = "base rate of the past"
RULE: Final = "rule"
PLAIN: Final = "first passage, plain"
CORRECTED: Final = "first passage, corrected"
WITHOUT: Final = "ensemble without the prior"
CHAMPION: Final = "champion"
ANSWERS: Final = (BASE, RULE, PLAIN, CORRECTED, WITHOUT, CHAMPION)


@dataclass(frozen=True, slots=True)
class Year:
    """One year: its rows, how many were known before it, which candidate was kept, and P(positive) [M] by two that
    were fitted on them.
    """

    year: int
    asked: Index
    known: int
    kept: str
    champion: Floats
    without: Floats


@dataclass(frozen=True, slots=True)
class Judged:
    """Rows of all years together with P(positive) [N] by each of ``ANSWERS``, and the year of each row [N]."""

    dataset: Dataset
    answers: Mapping[str, Floats]
    year: NDArray[np.int64]
    years: tuple[Year, ...]


def judge(dataset: Dataset, size: float, *, since: int, seed: int = 0) -> Judged:
    """Every year from ``since`` on with enough rows before it to train.

    ``size`` scales the numbers of trees and rounds. Rows without a first passage are left out, as by training.
    """
    features = compute_features(dataset)
    defined = np.isfinite(features[:, TARGET])
    dataset, features = dataset.take(defined), to_float32(features[defined]).astype(np.float64)
    years = []
    for year, known, asked in _origins(dataset, since):
        with suppress(TooFewRows):
            years.append(_judge_year(year, dataset.take(known), features[known], asked, features[asked], size, seed))
    index = np.concatenate([one.asked for one in years])
    own = dataset.take(index)
    answers = {
        BASE: known_rates(dataset)[index],
        RULE: np.asarray(own.inputs["rule_confidence"], np.float64),
        PLAIN: features[index, PLAIN_TARGET],
        CORRECTED: features[index, TARGET],
        WITHOUT: np.concatenate([one.without for one in years]),
        CHAMPION: np.concatenate([one.champion for one in years]),
    }
    return Judged(own, answers, np.repeat([one.year for one in years], [len(one.asked) for one in years]), tuple(years))


def _origins(dataset: Dataset, since: int) -> Iterator[tuple[int, Index, Index]]:
    """Each year from ``since`` on with the rows whose horizon ended before it, and its own."""
    of = dataset.detected_at.astype("datetime64[s]").astype("datetime64[Y]").astype(np.int64) + 1970
    for year in np.unique(of[of >= since]).tolist():
        begins = int(datetime(year, 1, 1, tzinfo=UTC).timestamp())
        yield year, np.flatnonzero(dataset.horizon_at < begins), np.flatnonzero(of == year)


def _judge_year(
    year: int, past: Dataset, known: Floats, asked: Index, features: Floats, size: float, seed: int
) -> Year:
    """What is learned from the rows of ``past`` with features ``known``, and its answers to ``features``.

    Raises TooFewRows.
    """
    if len(past) == 0:
        raise TooFewRows(f"nothing is known before {year}")
    split, recipe = split_by_time(past, test_share=0.0), Recipe(DEFAULT, seed=seed, size=size)
    require_enough(past, split)
    rows = Rows(known, past.outcome, blocks.uniqueness(past))
    evidence = forward(rows, split.folds, recipe)
    kept = choose(evidence, past.outcome[evidence.judged], blocks.blocks_of(past)[evidence.judged]).kept
    fitted = refit(rows, split.fit, kept, recipe, evidence.said)
    without = prior_free.fit(known, past.positive, split_by_time(past), size=size, seed=seed)
    return Year(year, asked, len(past), kept, fitted.answer(features)[:, POSITIVE], without(features))
