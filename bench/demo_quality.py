"""How good rule, ML and blended confidence are on the live rows, against the base rate, with intervals.

The event is a positive outcome: the target touched before the stop within the label horizon. The metrics are
training's own, on rows that no model was fitted on. Intervals come from resampling whole blocks of 30 days, because
patterns close in time share bars; a difference is taken within each resample.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from training.evaluate import Measured, Sample, Verdict, expected_calibration_error, mass_bins, verdict

Floats = NDArray[np.float64]

METRICS: Final = {"brier": "Brier", "log_loss": "log loss", "roc_auc": "ROC AUC", "ece": "ECE"}
RULE: Final = "rule confidence"
ML: Final = "ML confidence"
BLEND: Final = "blend, threshold 0"
EFFECTIVE: Final = "confidence as stored"
CONTROL: Final = "blend without a model"
"""The base rate blended with the rule: what the blend would be worth if its model knew nothing but that rate."""
BASE: Final = "base rate of the history"
_BLOCK_S: Final = 30 * 86_400
_RESAMPLES: Final = 2_000
_SEED: Final = 7
_BINS: Final = 5
_STYLES: Final = {Verdict.BETTER: "bold green", Verdict.WORSE: "bold red"} | dict.fromkeys(
    (Verdict.EQUAL, Verdict.UNKNOWN), "bold"
)


@dataclass(frozen=True, slots=True)
class Figure:
    """A metric, or a difference of two, with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4f} [dim]{self.low:.3f}..{self.high:.3f}[/]"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Every answer's metrics, on the same rows and the same blocks of time [N]."""

    measured: Mapping[str, Measured]
    block: NDArray[np.int64]

    def figure(self, name: str, metric: str, minus: str | None = None) -> Figure:
        """The metric of one answer, or by how much it exceeds that of another; NaN where it is undefined."""
        one = self.measured[name] if minus is None else self.measured[name].less(self.measured[minus])
        found = one.entries(self.block)[metric]
        value, low, high = (np.nan if number is None else number for number in found.values())
        return Figure(value, low, high)


def compare(answers: Mapping[str, Floats], hit: Floats, detected_at: Floats) -> Comparison:
    """Judge each answer [N] (a probability of ``hit`` [N], which is 0 or 1); at least one row is needed."""
    block = (detected_at // _BLOCK_S).astype(np.int64)
    return Comparison(Sample(hit, block, _SEED, _RESAMPLES).measure(answers), block)


def print_quality(console: Console, answers: Mapping[str, Floats], hit: Floats, detected_at: Floats) -> None:
    """The tables and, in plain sentences, what they allow to be said. ``answers`` has every name above as a key."""
    comparison = compare(answers, hit, detected_at)
    console.print(
        f"\n[bold]How good[/], on the {len(hit):,} live rows with an outcome (the newest still wait for theirs), "
        f"{hit.mean():.1%} of them positive; the history had {answers[BASE].mean():.1%}. Lower is better, but for AUC."
    )
    console.print(_quality_table(comparison))
    console.print(_reliability_table({name: answers[name] for name in (RULE, ML, BLEND)}, hit))
    console.print(
        f"Some calibration error is chance: an ML confidence that was exactly right would show about "
        f"{chance_ece(answers[ML]):.3f} on so few rows."
    )
    for line in verdicts(comparison):
        console.print(line)


def _quality_table(comparison: Comparison) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="bold", caption="value, 95 % interval", caption_justify="left")
    table.add_column("")
    for title in METRICS.values():
        table.add_column(title)
    for name in comparison.measured:
        table.add_row(name, *(str(comparison.figure(name, metric)) for metric in METRICS))
    return table


def _reliability_table(answers: Mapping[str, Floats], hit: Floats) -> Table:
    """For each answer five bins of equal mass: what was said on average, and how often it came true."""
    table = Table(box=None, padding=(0, 1), header_style="bold", title="Said, and came true", title_justify="left")
    table.add_column("fifth")
    for name in answers:
        table.add_column(name, justify="right")
    bins = {name: mass_bins(p, _BINS) for name, p in answers.items()}
    for index in range(_BINS):
        cells = []
        for name, p in answers.items():
            rows = bins[name] == index
            cells.append(f"{p[rows].mean():.3f} -> {hit[rows].mean():.3f}" if rows.any() else "")
        table.add_row(("lowest", "2nd", "3rd", "4th", "highest")[index], *cells)
    return table


def chance_ece(answer: Floats) -> float:
    """The calibration error that a perfectly calibrated answer [N] would show, by chance alone, on so few rows."""
    rng = np.random.default_rng(_SEED)
    draws = [expected_calibration_error(answer, rng.random(len(answer)) < answer) for _ in range(200)]
    return float(np.mean(draws))


def verdicts(comparison: Comparison) -> Iterator[str]:
    """Who beat whom, whichever way it went; a claim is made only where the interval of the difference says so."""
    yield "By Brier score, with the difference and its 95 % interval:"
    for one, other in ((ML, RULE), (ML, BASE), (EFFECTIVE, RULE), (BLEND, CONTROL)):
        difference = comparison.figure(one, "brier", minus=other)
        said = verdict(difference.low, difference.high)
        interval = f"({difference.value:+.4f}, {difference.low:+.4f} to {difference.high:+.4f})"
        yield f"  {one} [{_STYLES[said]}]{said}[/] {other} [dim]{interval}[/]"
    yield "A rule spread too wide gains by any blending; only the last of these says what the model itself adds."
    if comparison.figure(ML, "brier", minus=BASE).low > 0:
        yield "On these rows the model is surer than it has reason to be: always saying the base rate would beat it."
    if comparison.figure(ML, "roc_auc").low <= 0.5:
        yield (
            "By AUC the ML confidence does not order these patterns better than chance, as far as these rows can show: "
            "daily candlesticks of large stocks are close to a fair coin."
        )
