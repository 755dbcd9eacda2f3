"""How good each answer is on rows with an outcome, and what may be said of it.

The event is a positive outcome: the target touched before the stop within the label horizon. Every interval is from
sums over calendar blocks (:mod:`training.blocks`), and every comparison is of the same rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from training import blocks
from training.blocks import Mean
from training.evaluate import Verdict, verdict
from training.metrics import expected_calibration_error, figures, mass_bins

Floats = NDArray[np.float64]

BASE: Final = "base rate of the history"
RULE: Final = "rule confidence"
FIRST_PASSAGE: Final = "first passage, plain"
ML: Final = "ML confidence"
READ: Final = "confidence as read"
EARLIER: Final = "the earlier system's blend"
ANSWERS: Final = (BASE, RULE, FIRST_PASSAGE, ML, READ, EARLIER)
CLAIMS: Final = (
    (FIRST_PASSAGE, BASE),
    (ML, BASE),
    (ML, FIRST_PASSAGE),
    (ML, RULE),
    (READ, RULE),
    (READ, ML),
    (READ, EARLIER),
)
"""Who is compared with whom, by Brier score."""
BLOCK_S: Final = 35 * 86_400
"""Longer than 20 daily bars, the label horizon, take in calendar time."""
BINS: Final = 5
_DRAWS: Final = 200
_ROUNDING: Final = 1e-6
"""Scores and features are kept in single precision."""
_STYLES: Final = {Verdict.BETTER: "bold green", Verdict.WORSE: "bold red"} | dict.fromkeys(
    (Verdict.EQUAL, Verdict.UNKNOWN), "bold"
)


@dataclass(frozen=True, slots=True)
class Bin:
    """Rows to which an answer gave nearly the same: what it predicted on average, and how often it came true."""

    predicted: float
    observed: Mean


@dataclass(frozen=True, slots=True)
class Judged:
    """Answers by name, each a probability [N] of ``hit`` [N] (0 or 1); ``block`` [N] numbers calendar blocks."""

    answers: Mapping[str, Floats]
    hit: Floats
    block: NDArray[np.int64]

    @classmethod
    def of(cls, answers: Mapping[str, Floats], hit: Floats, detected_at: Floats) -> Judged:
        """Over the rows where every answer and the outcome are known; ``detected_at`` [N] is in Unix seconds."""
        known = np.isfinite(np.stack([hit, *answers.values()])).all(axis=0)
        block = np.asarray(detected_at[known] // BLOCK_S, np.int64)
        return cls({name: answer[known] for name, answer in answers.items()}, hit[known], block)

    def brier(self, name: str, minus: str | None = None) -> Mean:
        """The Brier score of one answer, or by how much it exceeds that of another."""
        loss = (self.answers[name] - self.hit) ** 2
        if minus is not None:
            loss = loss - (self.answers[minus] - self.hit) ** 2
        return blocks.mean(loss, self.block)

    def same(self, name: str, other: str) -> bool:
        """Whether two answers are one number on every row."""
        return bool(np.allclose(self.answers[name], self.answers[other], rtol=0, atol=_ROUNDING))

    def claim(self, name: str, other: str) -> Verdict:
        """What the interval of the difference in Brier score allows to say."""
        return verdict(*self.brier(name, minus=other).interval())

    def bins(self, name: str, count: int = BINS) -> list[Bin]:
        """The rows in bins of equal mass by that answer, lowest first."""
        answer = self.answers[name]
        number = mass_bins(answer, count)
        return [
            Bin(float(answer[rows].mean()), blocks.mean(self.hit[rows], self.block[rows]))
            for rows in (number == index for index in np.unique(number))
        ]

    def __len__(self) -> int:
        return len(self.hit)


def earlier_system(ml: Floats, rule: Floats) -> Floats:
    """What the four variables of the earlier system would have served: 0.6 ML + 0.4 rule from an ML confidence of
    0.55 on, the rule below.
    """
    return np.where(ml >= 0.55, 0.6 * ml + 0.4 * rule, rule)


def chance_ece(answer: Floats) -> float:
    """The calibration error that a perfectly calibrated answer [N] would show, by chance alone, on so few rows."""
    rng = np.random.default_rng(7)
    return float(np.mean([expected_calibration_error(answer, rng.random(len(answer)) < answer) for _ in range(_DRAWS)]))


def print_quality(console: Console, judged: Judged) -> None:
    """The table of every answer, what was predicted and what came true, and the sentences that they allow."""
    console.print(_table(judged))
    console.print(_reliability_table(judged))
    for line in sentences(judged):
        console.print(line)


def sentences(judged: Judged) -> Iterator[str]:
    """Who is better than whom, whichever way it went; a claim is made only where the interval allows it."""
    yield "By Brier score, where the interval of the difference allows it to be said:"
    for name, other in CLAIMS:
        if name not in judged.answers or other not in judged.answers:
            continue
        if judged.same(name, other):
            yield f"  {name} [bold]is[/] {other} on these rows"
        else:
            difference, claim = judged.brier(name, minus=other), judged.claim(name, other)
            yield f"  {name} [{_STYLES[claim]}]{claim}[/] {other}: {_signed(difference)}"


def _table(judged: Judged) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="bold", caption_justify="left")
    table.caption = "with 95 % intervals; less is better, except for AUC, where chance is 0.5"
    for title in ("", "Brier", "less the base rate", "less the rule", "AUC", "calibration", "by chance"):
        table.add_column(title, justify="right" if title in {"AUC", "calibration", "by chance"} else "left")
    for name, answer in judged.answers.items():
        score, figure = judged.brier(name), figures(answer, judged.hit)
        table.add_row(
            name,
            f"[bold]{score.value:.4f}[/] [dim]± {half_width(score):.4f}[/]",
            "" if name == BASE else _signed(judged.brier(name, minus=BASE)),
            "" if name == RULE else _signed(judged.brier(name, minus=RULE)),
            _short(figure["roc_auc"]),
            _short(figure["ece"]),
            f"{chance_ece(answer):.3f}",
        )
    return table


def _reliability_table(judged: Judged) -> Table:
    """For each answer five bins of equal mass: what was predicted on average, and how often it came true."""
    shown = [name for name in judged.answers if name != BASE]
    table = Table(box=None, padding=(0, 1), header_style="bold", title_justify="left")
    table.title = "Predicted, and observed"
    table.add_column("fifth")
    for name in shown:
        table.add_column(name, justify="right")
    found = {name: judged.bins(name) for name in shown}
    for index, label in enumerate(("lowest", "2nd", "3rd", "4th", "highest")):
        cells = (found[name][index] if index < len(found[name]) else None for name in shown)
        table.add_row(
            label, *("" if one is None else f"{one.predicted:.3f}  {one.observed.value:.3f}" for one in cells)
        )
    return table


def half_width(mean: Mean) -> float:
    """How far the 95 % interval reaches to either side."""
    low, high = mean.interval()
    return (high - low) / 2


def _signed(difference: Mean) -> str:
    return f"{difference.value:+.4f} [dim]± {half_width(difference):.4f}[/]"


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
