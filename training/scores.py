"""Metrics as lines of one table, for the summary, the model card and the report.

Every score and every paired difference in the metrics becomes a line, so a further baseline needs no further table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

from training.evaluate import BLEND
from training.metrics import METRICS

TITLES: Final = {
    "ml": "ML confidence",
    "base": "base rate",
    "first_passage": "first passage",
    "first_passage_served": "first passage, corrected",
    "champion": "champion",
    "rule": "rule",
    "served": "served, weights learned",
    "blend": f"blend {BLEND[0]:g}/{BLEND[1]:g}",
}
"""Names of scores as people read them; any other score is named by its key."""
_MINUS: Final = "_minus_"
_SUBSET: Final = "with_"
"""Prefix of the parts of the metrics that are over fewer rows: those that have the score to compare with."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its 95 % interval; None where it is undefined."""

    value: float | None
    low: float | None
    high: float | None

    @classmethod
    def of(cls, entry: Mapping[str, float | None]) -> Interval:
        return cls(entry["value"], entry["low"], entry["high"])

    def __str__(self) -> str:
        return f"{fixed(self.value)} {self.bounds}" if self.bounds else "undefined"

    @property
    def bounds(self) -> str:
        return "" if self.value is None or self.low is None else f"[{fixed(self.low)}, {fixed(self.high)}]"


@dataclass(frozen=True, slots=True)
class ScoreLine:
    """One score, or one paired difference of two scores, over ``rows`` rows; ``figures`` by metric."""

    name: str
    title: str
    rows: int
    figures: Mapping[str, Interval]


def score_lines(metrics: Mapping[str, Any], titles: Mapping[str, str] = TITLES) -> list[ScoreLine]:
    """Every score and difference in the result of :func:`training.evaluate.evaluate`, each once.

    A score over all rows that returns over a subset is a line of its own unless the subset is all rows.
    """
    parts = [metrics, *(part for name, part in metrics.items() if name.startswith(_SUBSET))]
    lines = list(chain.from_iterable(_lines(part, titles) for part in parts))
    return [line for number, line in enumerate(lines) if line not in lines[:number]]


def _lines(part: Mapping[str, Any], titles: Mapping[str, str]) -> Iterator[ScoreLine]:
    for name, entry in part.items():
        if isinstance(entry, Mapping) and entry.keys() >= METRICS.keys():
            title = " - ".join(title_of(one, titles) for one in name.split(_MINUS))
            yield ScoreLine(name, title, part["rows"], {metric: Interval.of(entry[metric]) for metric in METRICS})


def title_of(name: str, titles: Mapping[str, str] = TITLES) -> str:
    return titles.get(name, name.replace("_", " "))


def weight_line(metrics: Mapping[str, Any]) -> str:
    """What the model weighs beside the rule, in a sentence; empty where no row had a rule confidence."""
    if "weights" not in metrics:
        return ""
    found = metrics["weights"]
    error = "" if found["standard_error"] is None else f" ± {found['standard_error']:.3f} (standard error)"
    return (
        f"Learned weights: {found['ml_weight']:.3f} for the model, {1 - found['ml_weight']:.3f} for the rule{error}, "
        f"from {found['rows']:,} rows in {found['blocks']:,} calendar blocks."
    )


def above_noise(importances: Mapping[str, float], errors: Mapping[str, float | None]) -> list[tuple[str, float]]:
    """The importances above twice their standard error, largest first."""
    sure = [
        (name, value)
        for name, value in importances.items()
        for error in [errors.get(name)]
        if error is not None and value > 2 * error
    ]
    return sorted(sure, key=lambda one: -one[1])


def fixed(value: float | None, digits: int = 4) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def percent(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.1%}"
