"""The kept numbers of the evidence: one CSV file a kind of row, in ``bench/results/model/``."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

KEPT: Final = Path("bench/results/model")
EVERY: Final = "all"
"""As a year: all of them together."""


class Difference(NamedTuple):
    """A mean difference in Brier score with its 95 % interval by calendar blocks; below zero is better."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Score:
    """How good one answer is in one year of a data set, or in all; NaN where it was not measured."""

    data: str
    year: str
    answer: str
    rows: int
    brier: float
    less_base: float
    less_base_low: float
    less_base_high: float
    less_passage: float
    less_passage_low: float
    less_passage_high: float
    auc: float
    ece: float
    ece_null: float
    """The calibration error that a perfect model exceeds once in twenty times."""

    @property
    def to_base(self) -> Difference:
        return Difference(self.less_base, self.less_base_low, self.less_base_high)

    @property
    def to_passage(self) -> Difference:
        """Less plain first passage."""
        return Difference(self.less_passage, self.less_passage_low, self.less_passage_high)


@dataclass(frozen=True, slots=True)
class Kept:
    """What training kept before a year, from how many rows."""

    data: str
    year: str
    known: int
    kept: str


@dataclass(frozen=True, slots=True)
class Bin:
    """Rows to which an answer gave nearly the same: predicted on average, and how often it came true."""

    data: str
    answer: str
    rows: int
    predicted: float
    observed: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Side:
    """What the champion predicted on average for the patterns of one direction, and how often they came true."""

    data: str
    side: str
    rows: int
    predicted: float
    observed: float


@dataclass(frozen=True, slots=True)
class Run:
    """When and how the numbers came about; ``size`` scales the numbers of trees and rounds."""

    at: str
    took_s: int
    size: float
    since: int
    cores: int
    load_before: float
    versions: str


@dataclass(frozen=True, slots=True)
class PairScore:
    """How good one answer is at one random pair a row; ``less_plain`` is its Brier score less plain first passage's."""

    data: str
    answer: str
    rows: int
    brier: float
    less_plain: float
    low: float
    high: float
    ece: float
    ece_null: float

    @property
    def difference(self) -> Difference:
        return Difference(self.less_plain, self.low, self.high)


@dataclass(frozen=True, slots=True)
class Chosen:
    """Mean gains in multiples of the risk: as drawn, of the pair that gained most in the past, and their difference.

    ``proven`` of ``years`` had a correction surely better than first passage.
    """

    data: str
    rows: int
    drawn: float
    drawn_low: float
    drawn_high: float
    chosen: float
    chosen_low: float
    chosen_high: float
    more: float
    more_low: float
    more_high: float
    years: int
    proven: int

    @property
    def means(self) -> dict[str, Difference]:
        return {
            "drawn": Difference(self.drawn, self.drawn_low, self.drawn_high),
            "chosen": Difference(self.chosen, self.chosen_low, self.chosen_high),
            "more": Difference(self.more, self.more_low, self.more_high),
        }


@dataclass(frozen=True, slots=True)
class Driftless:
    """Of simulated markets without drift: in which share no pair was surely better, and the mean gain of a pair."""

    runs: int
    rows: int
    none: float
    gain: float
    gain_low: float
    gain_high: float

    @property
    def mean(self) -> Difference:
        return Difference(self.gain, self.gain_low, self.gain_high)


class Found(NamedTuple):
    """All that was measured on one data set."""

    scores: list[Score]
    kept: list[Kept]
    bins: list[Bin]
    sides: list[Side]


Kind = TypeVar("Kind", Score, Kept, Bin, Side, Run, PairScore, Chosen, Driftless)


def keep(found: Sequence[Found], run: Run, folder: Path = KEPT) -> None:
    """Write what was measured on every data set."""
    save([score for one in found for score in one.scores], folder)
    save([kept for one in found for kept in one.kept], folder)
    save([bin_ for one in found for bin_ in one.bins], folder)
    save([side for one in found for side in one.sides], folder)
    save([run], folder)


def save(rows: Sequence[Kind], folder: Path = KEPT) -> None:
    """Write rows of one kind, replacing those that were kept."""
    folder.mkdir(parents=True, exist_ok=True)
    kind = type(rows[0])
    with _file(kind, folder).open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, [column.name for column in fields(kind)], lineterminator="\n")
        table.writeheader()
        table.writerows({name: _text(value) for name, value in asdict(row).items()} for row in rows)


def read(kind: type[Kind], folder: Path = KEPT) -> list[Kind]:
    """The kept rows of a kind."""
    types: dict[str, Any] = {"int": int, "float": float, "str": str}
    of = {column.name: types[str(column.type)] for column in fields(kind)}
    with _file(kind, folder).open(newline="", encoding="utf-8") as lines:
        return [kind(**{name: of[name](text) for name, text in row.items()}) for row in csv.DictReader(lines)]


def _file(kind: type[Any], folder: Path) -> Path:
    return folder / f"{kind.__name__.lower()}.csv"


def _text(value: object) -> object:
    return f"{value:.6g}" if isinstance(value, float) else value
