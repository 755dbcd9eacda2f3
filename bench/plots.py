"""The plots of the document, as SVG files that differ only when the numbers do."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import matplotlib as mpl
from matplotlib.figure import Figure

from bench import inserts
from bench.figures import number
from bench.results import Results

_OURS: Final = "#1f5fa8"
_OTHERS: Final = "#9aa5b1"


def draw(sections: Mapping[str, Results], folder: Path) -> None:
    """Write the plots of the sections that were measured."""
    folder.mkdir(parents=True, exist_ok=True)
    mpl.rcParams.update({"svg.hashsalt": "bench", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    for name, results in sections.items():
        if results.numbers and name in _PLOTS:
            for plot, figure in _PLOTS[name](results).items():
                figure.savefig(folder / f"{plot}.svg", metadata={"Date": None})


def _latency(results: Results) -> dict[str, Figure]:
    p50 = {subject: results.median(subject, "50/s", "p50 ms") for subject in results.subjects()}
    return {"latency": _bars("Insert to score, p50 at 50 rows a second, ms", p50, "ms, logarithmic", log=True)}


def _drain(results: Results) -> dict[str, Figure]:
    rates: dict[str, float] = {}
    for subject in results.subjects():
        if subject.startswith("ours"):
            rates |= {f"{subject}, {case}": results.median(subject, case, "rows/s") for case in ("cold", "warm")}
        elif subject != "one engine":
            rates[subject] = results.median(subject, "waiting rows", "rows/s")
    return {"drain": _bars("Draining, rows a second", rates, "rows/s")}


def _inserts(results: Results) -> dict[str, Figure]:
    many = inserts.SINGLE.format(32, "s")
    rates = {subject: results.median(subject, many, "rows/s") for subject in results.subjects()}
    return {"inserts": _bars("Single-row inserts by 32 clients, rows a second", rates, "rows/s")}


def _growth(results: Results) -> dict[str, Figure]:
    def lines(labels: Mapping[str, str]) -> dict[str, tuple[list[int], list[float]]]:
        return {
            label: (sizes, [results.median(subject, size, "rows/s") for size in sizes])
            for subject, label in labels.items()
            if (sizes := results.sizes(subject))
        }

    by_size = lines({"backlog": "rows waiting", "table": "scored rows in the table"})
    by_series = lines({"series cold": "no series seen before", "series warm": "the same series again"})
    plots = {"growth": _lines("Rows a second, one engine, by size", by_size, "rows")}
    if by_series:
        plots["series"] = _lines("Rows a second, one engine, by number of series", by_series, "series")
    return plots


_PLOTS: Final = {"latency": _latency, "drain": _drain, "inserts": _inserts, "growth": _growth}


def _bars(title: str, values: Mapping[str, float], unit: str, *, log: bool = False) -> Figure:
    known = {label: value for label, value in values.items() if not math.isnan(value)}
    figure = Figure(figsize=(6.4, 3.0), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, loc="left", fontsize=10)
    labels = list(known)[::-1]
    colours = [_OURS if label.startswith("ours") else _OTHERS for label in labels]
    drawn = axes.barh(labels, [known[label] for label in labels], color=colours)
    axes.bar_label(drawn, [f" {number(known[label])}" for label in labels], fontsize=8)
    axes.set_xlabel(unit)
    if log:
        axes.set_xscale("log")
    axes.margins(x=0.12)
    return figure


def _lines(title: str, lines: Mapping[str, tuple[Sequence[int], Sequence[float]]], label: str) -> Figure:
    """Rates from zero, by sizes in powers of ten."""
    figure = Figure(figsize=(6.4, 3.0), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, loc="left", fontsize=10)
    for name, (sizes, rates) in lines.items():
        axes.plot(sizes, rates, marker="o", label=name)
    axes.set_xscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_xlabel(label)
    axes.set_ylabel("rows/s")
    axes.set_ylim(0, 1.15 * axes.get_ylim()[1])
    if lines:
        axes.legend(frameon=False)
    return figure
