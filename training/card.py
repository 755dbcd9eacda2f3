"""The model card: what a person should know before letting a model decide, in Markdown, from the training facts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from db_functions.contract import CLASSES
from training.dataset import Dataset
from training.evaluate import BLEND, LOG_CLIP
from training.export import Exported, FittedModel
from training.learners import Recipe
from training.split import Split
from training.verify import ParityReport

_METRICS: Final = {
    "brier": "Brier score",
    "log_loss": "Log loss",
    "roc_auc": "ROC AUC",
    "ece": "Expected calibration error",
}
_DAY_S: Final = 86_400
_SYMBOLS_SHOWN: Final = 12
_FEATURES_SHOWN: Final = 15
_CANDIDATES_SHOWN: Final = 5
_NUMBER: Final = re.compile(r"[-+]?[\d,]*(\.\d+)?%?")


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
    sections = [
        f"# Model `{exported.version}`",
        _what(exported, model, recipe),
        _data(dataset),
        _split(dataset, split),
        *([_tuning(metrics["tuning"])] if "tuning" in metrics else []),
        _metrics(metrics),
        _by_type(metrics["by_pattern_type"]),
        *([_candidates(metrics["candidates"])] if "candidates" in metrics else []),
        _calibration(model, metrics),
        _importances(metrics),
        _use(metrics),
        _parity(parity),
        "## Toolchain\n\n" + _table(["package", "version"], [[k, v] for k, v in toolchain.items()]),
    ]
    return "\n\n".join(sections) + "\n"


_KEPT: Final = {
    "first_passage": "first passage alone, which nothing was learned for",
    "recalibrated": "first passage, recalibrated",
    "ridge": "first passage, corrected by a small ridge regression",
    "ensemble": "first passage, corrected by",
}


def _what(exported: Exported, model: FittedModel, recipe: Recipe) -> str:
    name = model.fitted.correction.name
    how = f"{_KEPT[name]} {', '.join(recipe.models)}" if name == "ensemble" else _KEPT[name]
    changed = "; ".join(
        f"{name}: {', '.join(f'{key} {value}' for key, value in values.items())}"
        for name, values in recipe.parameters.items()
    )
    return (
        f"Calibrated probability that a chart pattern reaches its target before its stop within {model.horizon} bars: "
        f"{how}. One ONNX file of {len(exported.onnx) / 2**20:.1f} MB from raw bars to "
        f"probability, reading {', '.join(f'`{name}`' for name in exported.inputs)}. Seed {recipe.seed}. SHA-256 "
        f"`{exported.sha256}`." + (f" Other than by default: {changed}." if changed else "")
    )


def _data(dataset: Dataset) -> str:
    symbols, counts = np.unique(dataset.symbol.astype(str), return_counts=True)
    order = np.argsort(-counts, kind="stable")[:_SYMBOLS_SHOWN]
    shown = ", ".join(f"{symbols[i]} {counts[i]:,}" for i in order)
    if len(dataset) == 0:
        return "## Data\n\nNo labelled patterns: none are needed."
    more = f" and {len(symbols) - len(order)} more" if len(symbols) > len(order) else ""
    classes = ", ".join(
        f"{name} {number:,} ({number / len(dataset):.1%})" for name, number in dataset.class_counts().items()
    )
    return (
        f"## Data\n\n- {len(dataset):,} labelled patterns, {_day(dataset.detected_at[0])} to "
        f"{_day(dataset.detected_at[-1])}\n- Classes: {classes}\n- Symbols ({len(symbols)}): {shown}{more}"
    )


def _split(dataset: Dataset, split: Split) -> str:
    rows = []
    for name, index in split.parts().items():
        part = dataset.take(index)
        dates = [_day(part.detected_at[0]), _day(part.detected_at[-1])] if len(part) else ["", ""]
        rows.append([name, f"{len(part):,}", *dates, *(f"{n:,}" for n in part.class_counts().values())])
    return (
        "## Split\n\nBy time. "
        f"{split.purged:,} rows were purged because their label horizon reached into the test, and {split.embargoed:,} "
        f"lay in the embargo of {split.embargo_s / _DAY_S:.1f} days after its start. The candidates are judged on "
        f"{len(split.folds)} folds of the rows fitted on, each answered by what was fitted before it, and purged and "
        "embargoed alike.\n\n" + _table(["part", "rows", "from", "to", *CLASSES], rows)
    )


def _tuning(tuning: Mapping[str, Any]) -> str:
    rows = []
    for name, found in tuning["learners"].items():
        before, *others = found["candidates"]
        others = sorted(others, key=lambda one: one["mean"])
        for one in [before, *others[:_CANDIDATES_SHOWN]]:
            chosen = "chosen" if one["parameters"] == found["chosen"] else ""
            arguments = ", ".join(f"{key} {value}" for key, value in one["parameters"].items())
            difference = f"{one['difference']:+.4f} ± {one['standard_error']:.4f}" if one is not before else "as it was"
            rows.append([name, arguments, f"{one['mean']:.4f}", f"{one['spread']:.4f}", difference, chosen])
    tried = sum(len(found["candidates"]) for found in tuning["learners"].values())
    later = sum(fold["later"] for fold in tuning["folds"])
    shown = f" For each learner as it was, and the {_CANDIDATES_SHOWN} best of the others; the rest is in the metrics."
    return (
        f"## Tuning\n\n{tried} candidates were judged by the log loss of first passage with their correction on "
        f"{len(tuning['folds'])} folds in time ({later:,} rows) within the rows of the first fold above, so that "
        "none of the rows that judge had a say. Chosen is the lowest mean among those that beat the learner as it was "
        f"by more than one standard error of their differences, fold by fold.{shown}\n\n"
        + _table(["learner", "parameters", "log loss", "spread", "difference", ""], rows)
    )


_MEASURED: Final = {
    "forward_folds": "Each row was answered by what was fitted before it; the model itself is fitted on all of them.",
    "held_out": "Nothing was fitted on these rows.",
    "every_row": "Nothing was fitted at all.",
}


def _metrics(metrics: Mapping[str, Any]) -> str:
    method, paired = metrics["method"], metrics["with_rule"]
    if "ml" not in metrics:
        return "## Metrics\n\nThere was no labelled row to measure on."
    text = (
        f"## Metrics\n\nThe event is a positive outcome (base rate {_percent(metrics['base_rate'])} "
        f"of {metrics['rows']:,} rows). {_MEASURED[metrics['measured_on']['kind']]} In brackets 95 % "
        f"intervals over {method['blocks']} calendar blocks of {method['block_s'] / _DAY_S:.1f} days. "
        f"Log loss takes probabilities within [{LOG_CLIP}, {1 - LOG_CLIP}]; calibration error has {method['ece_bins']} "
        "bins of equal mass.\n\n"
    )
    columns = {"ml": "model"}
    for name, title in _BASELINES.items():
        if name in metrics:
            columns |= {name: title, f"ml_minus_{name}": f"model - {title}"}
    text += _comparison(metrics, columns)
    if "rule" in paired:
        columns = {
            "ml": "model",
            "rule": "rule",
            "blend": f"blend {BLEND[0]:g}/{BLEND[1]:g}",
            "ml_minus_rule": "model - rule",
            "blend_minus_rule": "blend - rule",
        }
        text += (
            f"\n\nAgainst the rule, over the {paired['rows']:,} rows with a rule confidence. The blend is that of the "
            "default weights, whatever the settings say now:\n\n" + _comparison(paired, columns)
        )
    said = [f"- {one['sentence']}" for one in metrics["verdicts"]] or ["- No interval allows to say anything."]
    return text + "\n\n" + "\n".join(said)


_BASELINES: Final = {"base": "base rate alone", "first_passage": "first passage", "champion": "champion"}


def _comparison(metrics: Mapping[str, Any], columns: Mapping[str, str]) -> str:
    rows = [[title, *(_interval(metrics[c][key]) for c in columns)] for key, title in _METRICS.items()]
    return _table(["metric", *columns.values()], rows)


def _by_type(types: Mapping[str, Mapping[str, Any]]) -> str:
    rows = []
    for kind, entry in types.items():
        ml, rule = entry.get("ml", {}), entry.get("rule", {})
        figures = [_figure(side.get(key)) for key in ("brier", "roc_auc") for side in (ml, rule)]
        rows.append([_cell(kind), f"{entry['rows']:,}", _percent(entry["base_rate"]), *figures])
    header = ["pattern type", "rows", "base rate", "Brier model", "Brier rule", "AUC model", "AUC rule"]
    return "## By pattern type\n\n" + _table(header, rows)


def _candidates(found: Mapping[str, Any]) -> str:
    why = {
        "by_name": f"`{found['kept']}` was named.",
        "best": f"`{found['kept']}` did best, and no simpler one was within {found['errors']:g} standard error of it.",
        "simplest_within_error": f"`{found['kept']}` is the simplest within {found['errors']:g} standard error of the "
        f"best, `{found['best']}`.",
    }[found["reason"]]
    rows = [
        [
            one["name"],
            _figure(one["brier"]),
            _interval(one["minus_first_passage"]),
            f"{one['minus_best']['value']:.4f} ± {_figure(one['minus_best']['error'])}",
        ]
        for one in found["compared"]
    ]
    return f"## Candidates\n\n{why}\n\n" + _table(["candidate", "Brier", "less first passage", "less the best"], rows)


def _calibration(model: FittedModel, metrics: Mapping[str, Any]) -> str:
    slope = getattr(model.fitted.correction, "slope", None)
    believed = "" if slope is None else f"What the learners say counts {slope:.3f} times. "
    null = metrics["ece_null"]
    perfect = (
        "" if null["high"] is None else f"A perfect model would show a calibration error up to {null['high']:.4f}. "
    )
    rows = [
        [
            f"{b['from']:.3f} to {b['to']:.3f}",
            f"{b['rows']:,}",
            f"{b['predicted']:.3f}",
            f"{b['observed']:.3f} [{b['observed_low']:.3f}, {b['observed_high']:.3f}]",
        ]
        for b in metrics["reliability"]
    ]
    header = ["predicted P(positive)", "rows", "mean", "observed"]
    return f"## Calibration\n\n{believed}{perfect}\n\n" + _table(header, rows)


def _importances(metrics: Mapping[str, Any]) -> str:
    importances, errors = metrics["importances"], metrics["importance_errors"]
    sure = {name: rise for name, rise in importances.items() if errors[name] is not None and rise > 2 * errors[name]}
    best = sorted(sure.items(), key=lambda item: -item[1])[:_FEATURES_SHOWN]
    rows = [[f"`{name}`", f"{value:+.5f}"] for name, value in best]
    return (
        f"## Feature importances\n\nRise of the model's Brier score on rows that it had not seen when one feature is "
        f"shuffled; the {len(best)} largest of {len(importances)}, those within their noise left out. Features that "
        "say the same share their importance.\n\n" + _table(["feature", "rise"], rows)
    )


def _use(metrics: Mapping[str, Any]) -> str:
    return (
        "## Intended use and limits\n\n"
        "- For ranking and weighing detected patterns beside the application's rule confidence; not a forecast of "
        "returns, and no advice to trade. Costs and slippage are not in the labels.\n"
        "- Trained on the symbols, timeframes and years above; other markets are extrapolation. Watch "
        "`ml.feature_drift` and `ml.performance_realised`.\n"
        "- An outcome counts as negative when target and stop fall in the same bar, for the order within a bar is "
        "unknown.\n"
        f"- A probability far above the base rate of {_percent(metrics['base_rate'])} is rare by nature; see the "
        "reliability table for how high the model goes."
    )


def _parity(parity: ParityReport) -> str:
    sizes = ", ".join(f"{size:,}" for size in parity.batch_sizes)
    return (
        f"## Parity\n\nThe file's answers differ from scikit-learn's by at most {parity.max_abs_diff:.2g} (accepted: "
        f"{parity.tolerance:g}) over {parity.rows:,} real rows in batches of {sizes}."
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Padded, so that it reads well in a terminal too; columns of numbers stand to the right."""
    widths = [max(3, *(len(line[column]) for line in (header, *rows))) for column in range(len(header))]
    numeric = [bool(rows) and all(_NUMBER.fullmatch(line[column]) for line in rows) for column in range(len(header))]
    rule = ["-" * (width - 1) + (":" if right else "-") for width, right in zip(widths, numeric, strict=True)]
    padded = [
        [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ]
        for line in (header, *rows)
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in (padded[0], rule, *padded[1:]))


def _interval(entry: Mapping[str, float | None]) -> str:
    if entry["value"] is None:
        return "undefined"
    return f"{_figure(entry['value'])} [{_figure(entry['low'])}, {_figure(entry['high'])}]"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _percent(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.1%}"


def _cell(text: str) -> str:
    # Pattern types are whatever an application wrote; a bar or a line end would break the table.
    return " ".join(text.replace("|", "\\|").split()) or "(empty)"


def _day(seconds: int | np.int64) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).date().isoformat()
