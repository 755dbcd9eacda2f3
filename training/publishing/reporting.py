"""What a person reads of a published model: the card in the registry, and the summary after publishing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from db_functions.contract import META_FITTED_FROM, META_FITTED_UNTIL
from training.cli.output import aligned
from training.export import Exported
from training.metrics import METRICS
from training.publishing.answers import steps_of
from training.publishing.model import Pipeline
from training.rendering import day
from training.scores import score_lines, weight_line
from training.verify import ParityReport

if TYPE_CHECKING:
    from training.publishing.publish import Published


def summary(published: Published) -> str:
    """What was registered, how it did on unseen rows, and what promotion would say."""
    parity = published.parity
    lines = [
        f"registered {published.version}: {len(published.columns)} columns",
        f"parity: differs from predict_proba by at most {parity.max_abs_diff:.1e} over {parity.rows:,} rows",
        *measured(published.metrics),
        *(f"note: {note}" for note in published.notes),
        *(f"gate {gate.gate}: {'passed' if gate.passed else 'FAILED'}, {gate.found}" for gate in published.gates),
    ]
    if published.promotable:
        lines.append(f"to serve it: python -m training promote {published.version} --reason '...'")
    else:
        lines.append(f"to gather evidence: python -m training challenge {published.version} --reason '...'")
    return "\n".join(lines)


def measured(metrics: Mapping[str, Any]) -> Iterator[str]:
    """The table of figures on unseen rows, and what follows from it in words; nothing where nothing was measured."""
    if "measured_on" not in metrics:
        return
    measured_on = metrics["measured_on"]
    yield f"on {measured_on['rows']:,} {measured_on['kind']}, with 95 % intervals (lower is better, except ROC AUC):"
    lines = score_lines(metrics)
    yield from aligned(
        [["", "rows", *METRICS.values()]]
        + [[line.title, f"{line.rows:,}", *map(str, line.figures.values())] for line in lines]
    )
    yield from (one["sentence"] for one in metrics["verdicts"])
    yield from (line for line in [weight_line(metrics)] if line)
    yield from (f"promotion will be refused: {reason}" for reason in metrics["refused"])


def card(
    exported: Exported, model: Pipeline, metrics: Mapping[str, Any], parity: ParityReport, description: str
) -> str:
    """The model card, as Markdown."""
    if META_FITTED_UNTIL in metrics:
        window = (
            f"Its publisher states that it was fitted on patterns detected from {day(metrics[META_FITTED_FROM])} to "
            f"{day(metrics[META_FITTED_UNTIL])}."
        )
    else:
        window = "What it was fitted on is not stated, so only patterns detected after its registration are evidence."
    facts = [
        f"- Classes: {', '.join(map(str, model.classifier.classes_))}",
        f"- {len(model.columns.names)} columns: {', '.join(model.columns.names)}",
        f"- Label horizon: {model.horizon} bars",
        f"- Parity: off by {parity.max_abs_diff:.1e} over {parity.rows:,} rows",
        f"- SHA-256 `{exported.sha256}`",
    ]
    figures = list(measured(metrics))
    parts = [
        f"# Model `{exported.version}`",
        description.strip(),
        f"A fitted classifier of scikit-learn's kind, published from Python. {window}",
        "\n".join(f"- {step}" for step in steps_of(model.classifier)),
        "\n".join(facts),
        "## Metrics\n\n" + ("```text\n" + "\n".join(figures) + "\n```" if figures else "None were measured."),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"
