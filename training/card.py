"""The model card: what a person should know before letting a model decide, in Markdown, from the training facts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from db_functions.contract import CLASSES
from training.calibrate import FLOOR, Calibration
from training.dataset import Dataset
from training.evaluate import BLEND, LOG_CLIP, Verdict, verdict
from training.export import Exported
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
    calibration: Calibration,
    metrics: Mapping[str, Any],
    parity: ParityReport,
    toolchain: Mapping[str, str],
    *,
    recipe: Recipe,
) -> str:
    """The whole card."""
    sections = [
        f"# Model `{exported.version}`",
        _what(exported, recipe),
        _data(dataset),
        _split(dataset, split),
        *([_tuning(metrics["tuning"])] if "tuning" in metrics else []),
        _metrics(metrics),
        _by_type(metrics["by_pattern_type"]),
        _calibration(calibration, recipe, metrics["reliability"]),
        _importances(metrics["importances"]),
        _use(metrics),
        _parity(parity),
        "## Toolchain\n\n" + _table(["package", "version"], [[k, v] for k, v in toolchain.items()]),
    ]
    return "\n\n".join(sections) + "\n"


def _what(exported: Exported, recipe: Recipe) -> str:
    how = {"vote": "soft vote", "stack": "stack"}[recipe.combine]
    members = f"{how} of {', '.join(recipe.models)}" if len(recipe.models) > 1 else recipe.models[0]
    changed = "; ".join(
        f"{name}: {', '.join(f'{key} {value}' for key, value in values.items())}"
        for name, values in recipe.parameters.items()
    )
    return (
        f"Calibrated probability that a chart pattern reaches its target before its stop: {members}, then vector "
        f"scaling towards the class shares. One ONNX file of {len(exported.onnx) / 2**20:.1f} MB from raw bars to "
        f"probability, reading {', '.join(f'`{name}`' for name in exported.inputs)}. Seed {recipe.seed}. SHA-256 "
        f"`{exported.sha256}`." + (f" Other than by default: {changed}." if changed else "")
    )


def _data(dataset: Dataset) -> str:
    symbols, counts = np.unique(dataset.symbol.astype(str), return_counts=True)
    order = np.argsort(-counts, kind="stable")[:_SYMBOLS_SHOWN]
    shown = ", ".join(f"{symbols[i]} {counts[i]:,}" for i in order)
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
        f"{split.purged:,} rows were purged because their label window reached into the test, and {split.embargoed:,} "
        f"lay in the embargo of {split.embargo_s / _DAY_S:.1f} days after its start. The rows to calibrate on are "
        f"{len(split.folds)} folds of the rows fitted on, each answered by an ensemble fitted on what was known before "
        "it, and purged and embargoed alike.\n\n" + _table(["part", "rows", "from", "to", *CLASSES], rows)
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
        f"## Tuning\n\n{tried} candidates were judged by the log loss of their uncalibrated probabilities on "
        f"{len(tuning['folds'])} folds in time ({later:,} rows) within the rows of the first fold above, so that "
        "neither calibration nor test had a say. Chosen is the lowest mean among those that beat the learner as it was "
        f"by more than one standard error of their differences, fold by fold.{shown}\n\n"
        + _table(["learner", "parameters", "log loss", "spread", "difference", ""], rows)
    )


def _metrics(metrics: Mapping[str, Any]) -> str:
    method, paired = metrics["method"], metrics["with_rule"]
    text = (
        f"## Metrics on the last part\n\nThe event is a positive outcome (base rate {_percent(metrics['base_rate'])} "
        f"of {metrics['rows']:,} rows). Nothing was fitted or calibrated on these rows. In brackets 95 % "
        f"intervals from {method['resamples']:,} resamples of {method['blocks']} blocks of "
        f"{method['block_s'] / _DAY_S:.1f} days. "
        f"Log loss takes probabilities within [{LOG_CLIP}, {1 - LOG_CLIP}]; calibration error has {method['ece_bins']} "
        "bins of equal mass.\n\n"
    )
    whole = _comparison(metrics, {"ml": "model", "base": "base rate alone", "ml_minus_base": "model - base rate"})
    text += whole + "\n\n" + _verdict(metrics["ml_minus_base"]["brier"], "the base rate of earlier rows")
    if "rule" not in paired:
        return text
    columns = {
        "ml": "model",
        "rule": "rule",
        "blend": f"blend {BLEND[0]:g}/{BLEND[1]:g}",
        "ml_minus_rule": "model - rule",
        "blend_minus_rule": "blend - rule",
    }
    text += (
        f"\n\nAgainst the rule, over the {paired['rows']:,} rows with a rule confidence. The blend is that of the "
        "default weights, whatever the settings say now:\n\n"
    )
    return text + _comparison(paired, columns) + "\n\n" + _verdict(paired["ml_minus_rule"]["brier"], "the rule")


def _comparison(metrics: Mapping[str, Any], columns: Mapping[str, str]) -> str:
    rows = [[title, *(_interval(metrics[c][key]) for c in columns)] for key, title in _METRICS.items()]
    return _table(["metric", *columns.values()], rows)


def _verdict(difference: Mapping[str, float | None], other: str) -> str:
    said = verdict(difference["low"], difference["high"])
    warning = ": think twice before promoting it" if said is Verdict.WORSE else ""
    return f"**By Brier score the model {said} {other}{warning}.**"


def _by_type(types: Mapping[str, Mapping[str, Any]]) -> str:
    rows = []
    for kind, entry in types.items():
        ml, rule = entry.get("ml", {}), entry.get("rule", {})
        figures = [_figure(side.get(key)) for key in ("brier", "roc_auc") for side in (ml, rule)]
        rows.append([_cell(kind), f"{entry['rows']:,}", _percent(entry["base_rate"]), *figures])
    header = ["pattern type", "rows", "base rate", "Brier model", "Brier rule", "AUC model", "AUC rule"]
    return "## By pattern type\n\n" + _table(header, rows)


def _calibration(calibration: Calibration, recipe: Recipe, bins: Sequence[Mapping[str, float]]) -> str:
    if recipe.combine == "stack":
        slopes = [
            f"{model} {', '.join(f'{slope:.3f}' for slope in calibration.slope[start : start + len(CLASSES)])}"
            for model, start in zip(recipe.models, range(0, len(calibration.slope), len(CLASSES)), strict=True)
        ]
        shifts = ", ".join(f"{bias:+.3f}" for bias in calibration.bias)
        terms = f"slopes of {', '.join(CLASSES)}: {'; '.join(slopes)}; then {shifts}"
    else:
        terms = "; ".join(
            f"{name} times {slope:.3f}, {bias:+.3f}"
            for name, slope, bias in zip(CLASSES, calibration.slope, calibration.bias, strict=True)
        )
    rows = [
        [
            f"{b['from']:.3f} to {b['to']:.3f}",
            f"{b['rows']:,}",
            f"{b['predicted']:.3f}",
            f"{b['observed']:.3f} [{b['observed_low']:.3f}, {b['observed_high']:.3f}]",
        ]
        for b in bins
    ]
    return (
        f"## Calibration\n\nVector scaling of the log-probabilities, on answers out of fold: {terms}. {FLOOR:g} is "
        "mixed into each class first. Slopes of 0 mean that the ensemble showed no skill there, and that the share of "
        "each class is all that is answered.\n\n" + _table(["predicted P(positive)", "rows", "mean", "observed"], rows)
    )


def _importances(importances: Mapping[str, float]) -> str:
    best = sorted(importances.items(), key=lambda item: -item[1])[:_FEATURES_SHOWN]
    rows = [[f"`{name}`", f"{value:+.5f}"] for name, value in best]
    return (
        f"## Feature importances\n\nRise of the model's Brier score on test rows when one feature is shuffled; the "
        f"{len(best)} largest of {len(importances)}. Features that say the same share their importance.\n\n"
        + _table(["feature", "rise"], rows)
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
