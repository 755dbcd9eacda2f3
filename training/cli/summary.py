"""What ``train`` and ``retrain`` print about the model that they registered."""

from __future__ import annotations

from training.cli.output import aligned
from training.pipeline import Artifact
from training.scores import METRICS, score_lines


def summarise(artifact: Artifact) -> str:
    """Size and parity of the file, one table of metrics with intervals, and a verdict against each baseline."""
    parity, lines = artifact.parity, score_lines(artifact.metrics)
    table = [["", "rows", *METRICS.values()]]
    table += [[line.title, f"{line.rows:,}", *map(str, line.figures.values())] for line in lines]
    first = (
        f"registered {artifact.version}: {len(artifact.onnx) / 2**20:.1f} MB, {len(artifact.feature_names)} features, "
        f"differs from scikit-learn by at most {parity.max_abs_diff:.1e} over {parity.rows:,} rows"
    )
    kinds = {"forward_folds": "On rows of forward folds", "held_out": "On the last rows", "every_row": "On every row"}
    measured = kinds[artifact.metrics["measured_on"]["kind"]]
    header = f"{measured}, with 95 % intervals (lower is better, except for ROC AUC):"
    sentences = [one["sentence"] for one in artifact.metrics["verdicts"]]
    refused = [f"promotion will be refused: {reason}" for reason in artifact.metrics["refused"]]
    return "\n".join([first, "", header, *aligned(table), *sentences, *refused])
