"""The model card: what to know before letting a model decide, as Markdown from the facts of its training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from db_functions.contract import CLASSES
from training.calibrate import FLOOR, Calibration
from training.dataset import Dataset
from training.evaluate import LOG_CLIP, Verdict
from training.export import Exported
from training.learners import Recipe
from training.rendering import day, render_markdown
from training.scores import METRICS, above_noise, fixed, percent, score_lines, verdict_on, verdicts
from training.split import Split
from training.verify import ParityReport

IN_REPORT: Final = ("Metrics", "By pattern type", "Reliability", "Feature importances")
"""Headings of the sections that the report shows itself, from its own rows."""


def render(
    exported: Exported,
    dataset: Dataset,
    split: Split,
    calibration: Calibration,
    metrics: Mapping[str, Any],
    parity: ParityReport,
    toolchain: Mapping[str, str],
    *,
    recipe: Recipe,
) -> str:
    """The whole card."""
    lines = score_lines(metrics)
    return render_markdown(
        "card.md.j2",
        exported=exported,
        recipe=recipe,
        changed="; ".join(f"{name}: {_arguments(values)}" for name, values in recipe.parameters.items()),
        dataset=dataset,
        classes=dataset.class_counts(),
        symbols=_symbols(dataset),
        split=split,
        parts=_parts(dataset, split),
        candidates=list(_candidates(metrics["tuning"])) if "tuning" in metrics else [],
        metrics=metrics,
        log_clip=LOG_CLIP,
        titles=list(METRICS.values()),
        scores=[[line.title, f"{line.rows:,}", *map(str, line.figures.values())] for line in lines],
        verdicts=verdicts(lines),
        worse=any(line.name.startswith("ml_minus_") and verdict_on(line) is Verdict.WORSE for line in lines),
        types=list(_types(metrics["by_pattern_type"])),
        terms=_terms(calibration, recipe),
        floor=f"{FLOOR:g}",
        bins=_bins(metrics["reliability"]),
        important=[[name, f"{value:+.5f}"] for name, value in above_noise(metrics["importances"])],
        parity=parity,
        toolchain=toolchain,
    )


@dataclass(frozen=True, slots=True)
class _Candidate:
    """Cells of a candidate of the search; rank 0 is the learner as it was, 1 the best of the others."""

    cells: list[str]
    rank: int


def _candidates(tuning: Mapping[str, Any]) -> Iterator[_Candidate]:
    for name, found in tuning["learners"].items():
        before, *others = found["candidates"]
        others.sort(key=lambda one: one["mean"])
        for rank, one in enumerate([before, *others]):
            difference = f"{one['difference']:+.4f} ± {one['standard_error']:.4f}" if rank else "as it was"
            chosen = "chosen" if one["parameters"] == found["chosen"] else ""
            figures = [fixed(one["mean"]), fixed(one["spread"]), difference, chosen]
            yield _Candidate([name, _arguments(one["parameters"]), *figures], rank)


def _arguments(parameters: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in parameters.items())


def _symbols(dataset: Dataset) -> list[tuple[str, int]]:
    """Symbols and their rows, the most frequent first."""
    symbols, counts = np.unique(dataset.symbol.astype(str), return_counts=True)
    return [(str(symbols[i]), int(counts[i])) for i in np.argsort(-counts, kind="stable")]


def _parts(dataset: Dataset, split: Split) -> list[list[str]]:
    rows = []
    for name, index in split.parts().items():
        part = dataset.take(index)
        dates = [day(part.detected_at[0]), day(part.detected_at[-1])] if len(part) else ["", ""]
        rows.append([name, f"{len(part):,}", *dates, *(f"{number:,}" for number in part.class_counts().values())])
    return rows


def _types(types: Mapping[str, Mapping[str, Any]]) -> Iterator[list[str]]:
    for kind, entry in types.items():
        sides = entry.get("ml", {}), entry.get("rule", {})
        figures = [fixed(side.get(key)) for key in ("brier", "roc_auc") for side in sides]
        yield [kind.strip() or "(empty)", f"{entry['rows']:,}", percent(entry["base_rate"]), *figures]


def _terms(calibration: Calibration, recipe: Recipe) -> str:
    """The fitted slopes and shifts."""
    if recipe.combine == "stack":
        slopes = [
            f"{model} {', '.join(f'{slope:.3f}' for slope in calibration.slope[start : start + len(CLASSES)])}"
            for model, start in zip(recipe.models, range(0, len(calibration.slope), len(CLASSES)), strict=True)
        ]
        shifts = ", ".join(f"{bias:+.3f}" for bias in calibration.bias)
        return f"slopes of {', '.join(CLASSES)}: {'; '.join(slopes)}; then {shifts}"
    return "; ".join(
        f"{name} times {slope:.3f}, {bias:+.3f}"
        for name, slope, bias in zip(CLASSES, calibration.slope, calibration.bias, strict=True)
    )


def _bins(bins: Sequence[Mapping[str, float]]) -> list[list[str]]:
    return [
        [
            f"{one['from']:.3f} to {one['to']:.3f}",
            f"{one['rows']:,}",
            fixed(one["predicted"], 3),
            f"{one['observed']:.3f} [{one['observed_low']:.3f}, {one['observed_high']:.3f}]",
        ]
        for one in bins
    ]
