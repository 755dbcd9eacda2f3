"""Scores, bins and what was kept, from the answers to one data set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bench.evidence.forward import ANSWERS, BASE, CHAMPION, PLAIN, WITHOUT, Judged, judge
from bench.evidence.results import EVERY, Bin, Found, Kept, Score, Side
from bench.evidence.rows import labelled_rows
from bench.markets import MARKETS, load_market, patterns_with_levels, patterns_without_levels
from training import blocks
from training.dataset import Dataset
from training.evaluate import perfect_ece
from training.metrics import figures, mass_bins

Floats = NDArray[np.float64]

_KINDS: Final = {"with levels": patterns_with_levels, "without levels": patterns_without_levels}
DATA: Final = tuple(f"{market}, {kind}" for market in MARKETS for kind in _KINDS)
"""Every data set by name."""
PLOTTED: Final = (CHAMPION, WITHOUT)
"""Answers with bins."""
_SEED: Final = 0
_NAN: Final = float("nan")


def measure(data: str, size: float, since: int) -> Found:
    """Judge a data set of ``DATA`` year by year."""
    name, kind = data.split(", ")
    market = load_market(name)
    judged = judge(labelled_rows(market, _KINDS[kind](market)), size, since=since, seed=_SEED)
    kept = [Kept(data, str(one.year), one.known, one.kept) for one in judged.years]
    return Found(list(_scores(data, judged)), kept, list(_bins(data, judged)), _sides(data, judged))


def _scores(data: str, judged: Judged) -> Iterator[Score]:
    for answer in ANSWERS:
        yield _score(data, EVERY, answer, judged, np.full(len(judged.dataset), True))
    for year in judged.years:
        for answer in ANSWERS:
            yield _score(data, str(year.year), answer, judged, judged.year == year.year)


def _score(data: str, year: str, answer: str, judged: Judged, rows: NDArray[np.bool_]) -> Score:
    dataset, p = judged.dataset.take(rows), judged.answers[answer][rows]
    hit = dataset.positive.astype(np.float64)
    # Blocks of all rows: a year alone would take a median of its own.
    block = blocks.blocks_of(judged.dataset)[rows]
    loss = (p - hit) ** 2
    base, passage = (blocks.mean(loss - (judged.answers[name][rows] - hit) ** 2, block) for name in (BASE, PLAIN))
    whole = year == EVERY
    found = figures(p, hit) if whole else {}
    return Score(
        data, year, answer, len(p), float(loss.mean()),
        base.value, *base.interval(), passage.value, *passage.interval(),
        _number(found.get("roc_auc")), _number(found.get("ece")), _ece_null(p, dataset) if whole else _NAN,
    )  # fmt: skip


def _ece_null(p: Floats, dataset: Dataset) -> float:
    return _number(perfect_ece(p, dataset, seed=_SEED)["high"])


def _bins(data: str, judged: Judged) -> Iterator[Bin]:
    hit, block = judged.dataset.positive.astype(np.float64), blocks.blocks_of(judged.dataset)
    for answer in PLOTTED:
        p = judged.answers[answer]
        number = mass_bins(p)
        for one in np.unique(number):
            rows = number == one
            mean = blocks.mean(hit[rows], block[rows])
            yield Bin(data, answer, int(rows.sum()), float(p[rows].mean()), mean.value, *mean.interval())


def _sides(data: str, judged: Judged) -> list[Side]:
    p, hit, direction = judged.answers[CHAMPION], judged.dataset.positive, judged.dataset.inputs["direction"]
    found = []
    for name, rows in (("up", direction > 0), ("down", direction < 0)):
        found.append(Side(data, name, int(rows.sum()), float(p[rows].mean()), float(hit[rows].mean())))
    return found


def _number(value: float | None) -> float:
    return _NAN if value is None else value
