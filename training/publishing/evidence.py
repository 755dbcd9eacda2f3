"""What a classifier's answers are worth on labelled rows that it has not seen."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from db_functions.contract import META_FITTED_FROM, META_FITTED_UNTIL, META_LABEL_HORIZON
from training import blend
from training.dataset import Dataset
from training.errors import NotPublishable
from training.evaluate import evaluate
from training.first_passage import plain_target, served_target
from training.pipeline import FEWEST, known_rates
from training.split import EMBARGO_SHARE, HELD_OUT, Index

GIVEN: Final = "given"
"""Where ``metrics`` keeps what the publisher says of the model."""


def seconds(moment: Any) -> int:
    """Unix seconds of a datetime (a pandas Timestamp is one) or a number of them; times without a zone are UTC."""
    if isinstance(moment, (int, np.integer)):
        return int(moment)
    if not isinstance(moment, datetime):
        raise NotPublishable(f"fitted_until and fitted_from are datetimes, not {moment!r}")
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def unseen_rows(dataset: Dataset, fitted_until: int) -> Index:
    """The rows whose label windows begin after those of the rows fitted on have ended, and an embargo after them.

    ``fitted_until`` is the newest ``detected_at`` fitted on, Unix seconds. The embargo is that of ``split_by_time``.
    """
    fitted = dataset.detected_at <= fitted_until
    ended = int(dataset.horizon_at[fitted].max(initial=fitted_until))
    span = int(dataset.detected_at[-1] - dataset.detected_at[0]) if len(dataset) else 0
    return np.flatnonzero(dataset.detected_at > ended + round(EMBARGO_SHARE * span))


def measure(answers: NDArray[np.float32], dataset: Dataset, rows: Index, *, seed: int) -> dict[str, Any]:
    """Metrics of P(positive) [N] on the ``rows`` of ``dataset``; empty when these are too few to say anything.

    The same figures as of a model trained here: intervals, first passage and the rule beside it, the learned weight.
    """
    own = dataset.take(rows)
    least, each = FEWEST["test"]
    positives = int(own.positive.sum())
    if len(own) < least or min(positives, len(own) - positives) < each:
        return {}
    baselines = {
        "first_passage": plain_target(own.inputs, own.horizon),
        "first_passage_served": served_target(own.inputs, own.horizon),
    }
    p = answers[rows].astype(np.float64)
    metrics = evaluate(p, own, known_rate=known_rates(dataset)[rows], baselines=baselines, seed=seed)
    metrics["measured_on"] = {
        "kind": HELD_OUT,
        "rows": len(own),
        "from": int(own.detected_at[0]),
        "until": int(own.detected_at[-1]),
    }
    against = metrics.get("ml_minus_first_passage_served")
    if against is not None:
        metrics["evidence"] = {
            "measured_on": HELD_OUT,
            "rows": metrics["compared"]["first_passage_served"],
            "against": "first_passage",
            "brier_minus_first_passage": against["brier"],
        }
    weights = blend.learn(p.astype(np.float32), own)
    if weights is not None:
        metrics["weights"] = weights.to_dict() | {"measured_on": HELD_OUT}
    return metrics


def stated(horizon: int, window: tuple[int, int] | None) -> dict[str, int]:
    """The label horizon and the fit window as ``metrics`` keeps them."""
    found = {META_LABEL_HORIZON: horizon}
    return found | ({META_FITTED_FROM: window[0], META_FITTED_UNTIL: window[1]} if window else {})
