"""``docs/model.md`` and its plots, rendered from the kept numbers alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, floor
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.figure import Figure

from bench.evidence.forward import ANSWERS, CHAMPION, PLAIN, WITHOUT
from bench.evidence.measure import DATA, PLOTTED
from bench.evidence.results import (
    EVERY,
    KEPT,
    Bin,
    Chosen,
    Difference,
    Driftless,
    Kept,
    PairScore,
    Run,
    Score,
    Side,
    read,
)
from bench.evidence.surfaces import FARTHEST, NEAREST, STEPS
from training.correction import CANDIDATES

DOCUMENT: Final = Path("docs/model.md")
PLOTS: Final = Path("docs/model")
MOST_LOST: Final = 0.0003
"""By which the champion's Brier score may exceed plain first passage's."""
_TEMPLATES: Final = Path(__file__).parent.parent / "templates"
_COLOURS: Final = {CHAMPION: "#1f5fa8", PLAIN: "#3a8f5c", WITHOUT: "#c2611f"}
_COLUMNS: Final = 2


@dataclass(frozen=True, slots=True)
class Evidence:
    """The kept numbers, by data set, year and answer."""

    scores: dict[tuple[str, str, str], Score]
    kept: Sequence[Kept]
    bins: Sequence[Bin]
    sides: Sequence[Side]

    @classmethod
    def read(cls, folder: Path) -> Evidence:
        scores = {(one.data, one.year, one.answer): one for one in read(Score, folder)}
        return cls(scores, read(Kept, folder), read(Bin, folder), read(Side, folder))

    def pooled(self, data: str, answer: str) -> Score:
        return self.scores[data, EVERY, answer]

    def years(self, data: str) -> list[Kept]:
        return [one for one in self.kept if one.data == data]

    def side(self, data: str, name: str) -> Side:
        """The patterns of direction ``up`` or ``down``."""
        return next(one for one in self.sides if (one.data, one.side) == (data, name))

    def shares(self, data: str) -> dict[str, float]:
        """Of the years, the share in which each candidate was kept."""
        counts = Counter(one.kept for one in self.years(data))
        return {name: counts[name] / counts.total() for name in CANDIDATES}

    def verdicts(self, data: str) -> dict[str, bool | None]:
        """What was wanted of the champion, and whether it holds; None where it was not asked for."""
        own, plain = self.pooled(data, CHAMPION), self.pooled(data, PLAIN)
        return {
            "not_worse": not own.to_passage.low > 0 and own.to_passage.value <= MOST_LOST,
            "better_than_base": own.to_base.high < 0 if plain.to_base.high < 0 else None,
            "calibrated": own.ece <= own.ece_null,
        }


def write(kept: Path = KEPT, document: Path = DOCUMENT, plots: Path = PLOTS) -> None:
    """Write the document and its plots."""
    evidence = Evidence.read(kept)
    draw(evidence, plots)
    (run,), (driftless,) = read(Run, kept), read(Driftless, kept)
    text = _environment().get_template("model.md.jinja").render(
        e=evidence, run=run, data=DATA, answers=ANSWERS, candidates=CANDIDATES, champion=CHAMPION, plain=PLAIN,
        without=WITHOUT,
        most_lost=MOST_LOST, pairs=read(PairScore, kept), chosen=read(Chosen, kept), driftless=driftless,
        nearest=NEAREST, farthest=FARTHEST, steps=STEPS,
    )  # fmt: skip
    document.write_text(text, encoding="utf-8")


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True, autoescape=False,
    )  # fmt: skip
    environment.filters |= {
        "difference": _difference,
        "gain": _gain,
        "met": {True: "met", False: "**missed**", None: "not asked"}.get,
    }
    return environment


def _difference(found: Difference) -> str:
    """Below zero is better; what is sure is bold."""
    text = f"{found.value:+.4f} [{found.low:+.4f}, {found.high:+.4f}]"
    return f"**{text}**" if found.low > 0 or found.high < 0 else text


def _gain(found: Difference) -> str:
    """In multiples of the risk."""
    return f"{found.value:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"


def draw(evidence: Evidence, folder: Path) -> None:
    """Write the two plots, as SVG files that differ only when the numbers do."""
    folder.mkdir(parents=True, exist_ok=True)
    mpl.rcParams.update({"svg.hashsalt": "bench", "font.size": 8, "axes.spines.top": False, "axes.spines.right": False})
    for name, panel, height in (("reliability", _reliability, 2.9), ("years", _years, 2.1)):
        figure = _panels(evidence, panel, height)
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})


def _panels(evidence: Evidence, panel: Callable[[Any, Evidence, str], None], height: float) -> Figure:
    rows = ceil(len(DATA) / _COLUMNS)
    figure = Figure(figsize=(7.2, height * rows), layout="constrained")
    grid = figure.subplots(rows, _COLUMNS, squeeze=False)
    for axes, data in zip(grid.flat, DATA, strict=True):
        axes.set_title(data, loc="left", fontsize=9)
        panel(axes, evidence, data)
    handles, labels = grid.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    return figure


def _reliability(axes: Any, evidence: Evidence, data: str) -> None:
    """Ten bins of equal mass: predicted across, observed upwards with its interval."""
    low, high = _limits([one for one in evidence.bins if one.data == data])
    axes.plot([low, high], [low, high], color="#8a8f98", linewidth=1, linestyle="--")
    for answer in PLOTTED:
        own = [one for one in evidence.bins if (one.data, one.answer) == (data, answer)]
        errors = [[one.observed - one.low for one in own], [one.high - one.observed for one in own]]
        axes.errorbar(
            [one.predicted for one in own], [one.observed for one in own], yerr=errors, color=_COLOURS[answer],
            marker="o", markersize=3, linewidth=1, elinewidth=0.8, label=answer,
        )  # fmt: skip
    axes.set(xlim=(low, high), ylim=(low, high), xlabel="predicted", ylabel="observed")


def _limits(bins: Sequence[Bin]) -> tuple[float, float]:
    """Whole tenths around every bin and its interval."""
    ends = [end for one in bins for end in (one.predicted, one.low, one.high)]
    return max(0.0, floor(10 * min(ends)) / 10), min(1.0, ceil(10 * max(ends)) / 10)


def _years(axes: Any, evidence: Evidence, data: str) -> None:
    """Each year's Brier score less that of the base rate."""
    years = [one.year for one in evidence.years(data)]
    axes.axhline(0, color="#8a8f98", linewidth=1)
    for answer, colour in _COLOURS.items():
        values = [evidence.scores[data, year, answer].less_base for year in years]
        dashed = "--" if answer == PLAIN else "-"
        axes.plot(
            [int(year) for year in years], values, color=colour, linestyle=dashed, marker="o", markersize=2.5,
            linewidth=1.2, label=answer,
        )  # fmt: skip
    axes.set_ylabel("Brier, less base rate")
    axes.xaxis.get_major_locator().set_params(integer=True)
