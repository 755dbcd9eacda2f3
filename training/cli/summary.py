"""What ``train`` and ``retrain`` print about the model that they registered."""

from __future__ import annotations

from training.cli.output import aligned
from training.metrics import METRICS
from training.pipeline import Artifact
from training.scores import score_lines, weight_line


def summarise(artifact: Artifact) -> str:
    """Size and parity of the file; of a model that was fitted, a table of metrics with intervals, and what follows."""
    parity, metrics = artifact.parity, artifact.metrics
    beside = "scikit-learn" if "measured_on" in metrics else "NumPy"
    first = (
        f"registered {artifact.version}: {len(artifact.onnx) / 2**20:.1f} MB, {len(artifact.feature_names)} features, "
        f"differs from {beside} by at most {parity.max_abs_diff:.1e} over {parity.rows:,} rows"
    )
    if "measured_on" not in metrics:
        return first
    lines = score_lines(metrics)
    table = [["", "rows", *METRICS.values()]]
    table += [[line.title, f"{line.rows:,}", *map(str, line.figures.values())] for line in lines]
    kept = f"Kept: {metrics['candidates']['kept']}. Measured on {metrics['measured_on']['kind']}"
    header = f"{kept}, with 95 % intervals (lower is better, except for ROC AUC):"
    sentences = [one["sentence"] for one in metrics["verdicts"]]
    refused = [f"promotion will be refused: {reason}" for reason in metrics["refused"]]
    weight = [line for line in [weight_line(metrics)] if line]
    return "\n".join([first, "", header, *aligned(table), *sentences, *weight, *refused])
