"""The model card: what to know before letting a model decide, as Markdown from the facts of its training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from training.dataset import Dataset
from training.export import Exported, FittedModel
from training.learners import Recipe
from training.metrics import LOG_CLIP, METRICS
from training.rendering import day, render_markdown
from training.scores import Interval, above_noise, fixed, percent, score_lines, weight_line
from training.split import FOLDS, HELD_OUT, Split
from training.verify import ParityReport

_KEPT: Final = {
    "first_passage": "first passage alone; no correction was learned",
    "recalibrated": "first passage, recalibrated",
    "ridge": "first passage, corrected by a small ridge regression",
    "ensemble": "first passage, corrected by",
}
_MEASURED: Final = {
    FOLDS: "Each row was answered by what was fitted before it. The model itself is fitted on all of them.",
    HELD_OUT: "Nothing was fitted on these rows.",
}
IN_REPORT: Final = ("Metrics", "By pattern type", "Reliability", "Feature importances")
"""Headings of the sections that the report shows itself, from its own rows."""


def render(
    exported: Exported,
    dataset: Dataset,
    split: Split,
    model: FittedModel,
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
        kept=_what(model, recipe),
        horizon=model.horizon,
        measured=_MEASURED[metrics["measured_on"]["kind"]],
        why=_why(metrics["candidates"]),
        compared=_compared(metrics["candidates"]),
        slope=getattr(model.fitted.correction, "slope", None),
        tried=list(_tried(metrics["tuning"])) if "tuning" in metrics else [],
        metrics=metrics,
        log_clip=LOG_CLIP,
        titles=list(METRICS.values()),
        scores=[[line.title, f"{line.rows:,}", *map(str, line.figures.values())] for line in lines],
        verdicts=[one["sentence"] for one in metrics["verdicts"]],
        refused=metrics["refused"],
        weight=weight_line(metrics),
        types=list(_types(metrics["by_pattern_type"])),
        bins=_bins(metrics["reliability"]),
        important=[
            [name, f"{value:+.5f}"] for name, value in above_noise(metrics["importances"], metrics["importance_errors"])
        ],
        parity=parity,
        toolchain=toolchain,
    )


@dataclass(frozen=True, slots=True)
class _Tried:
    """Cells of a candidate of the search; rank 0 is the learner as it was, 1 the best of the others."""

    cells: list[str]
    rank: int


def _tried(tuning: Mapping[str, Any]) -> Iterator[_Tried]:
    for name, found in tuning["learners"].items():
        before, *others = found["candidates"]
        others.sort(key=lambda one: one["mean"])
        for rank, one in enumerate([before, *others]):
            difference = f"{one['difference']:+.4f} ± {one['standard_error']:.4f}" if rank else "as it was"
            chosen = "chosen" if one["parameters"] == found["chosen"] else ""
            figures = [fixed(one["mean"]), fixed(one["spread"]), difference, chosen]
            yield _Tried([name, _arguments(one["parameters"]), *figures], rank)


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


def _what(model: FittedModel, recipe: Recipe) -> str:
    name = model.fitted.correction.name
    return f"{_KEPT[name]} {', '.join(recipe.models)}" if name == "ensemble" else _KEPT[name]


def _why(found: Mapping[str, Any]) -> str:
    """Why the kept candidate was kept."""
    kept, errors = found["kept"], found["errors"]
    return {
        "by_name": f"`{kept}` was named.",
        "best": f"`{kept}` did best, and no simpler one was within {errors:g} standard error of it.",
        "simplest_within_error": f"`{kept}` is the simplest within {errors:g} standard error of the best, "
        f"`{found['best']}`.",
    }[found["reason"]]


def _compared(found: Mapping[str, Any]) -> list[list[str]]:
    return [
        [
            one["name"],
            fixed(one["brier"]),
            str(Interval.of(one["minus_first_passage"])),
            f"{one['minus_best']['value']:.4f} ± {fixed(one['minus_best']['error'])}",
        ]
        for one in found["compared"]
    ]


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
