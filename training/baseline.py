"""The drift baseline: the training rows as frozen bins, into which live rows are counted later.

Bin ``i`` holds the values with exactly ``i`` edges at or below them, so the two outer bins are open, and PostgreSQL's
``width_bucket(value, edges)`` gives the same number. NaN and infinities are counted apart: a feature that goes missing
drifts too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from db_functions.contract import CLASSES, predicted_classes

BINS: Final = 10
MOST_CATEGORIES: Final = 200
"""Only so many of the most frequent texts are kept; others count as unseen, live as in training."""
_FINE: Final = 50


def drift_baseline(
    features: NDArray[np.float32],
    names: Sequence[str],
    texts: Mapping[str, NDArray[Any]],
    probabilities: NDArray[np.float32],
) -> dict[str, Any]:
    """The baseline, ready for JSON.

    ``features`` [N, F] and ``texts`` (text inputs by name, each [N]) of the rows fitted on; ``probabilities`` [M, 3] of
    rows *not* fitted on: a model is surer of the rows it was fitted on, and live predictions would seem to drift from
    the first day.
    """
    confidence = probabilities[:, 2]
    return {
        "features": {name: histogram(features[:, column]) for column, name in enumerate(names)},
        "inputs": {name: frequencies(values) for name, values in texts.items()},
        "outputs": {
            "ml_confidence": deciles(confidence) | {"quantiles": _quantiles(confidence.astype(np.float64), _FINE)},
            "prediction_class": frequencies(predicted_classes(probabilities), CLASSES),
        },
    }


def histogram(values: NDArray[np.float32]) -> dict[str, Any]:
    """Bins of the finite values and how many fall in each.

    Few different values have a bin each. Otherwise the edges are deciles; a value that fills a decile by itself has a
    bin of its own, apart from the values above it.
    """
    finite = values[np.isfinite(values)].astype(np.float64)
    distinct = np.unique(finite)
    if len(distinct) <= BINS:
        return _counted(values, distinct[1:])
    edges = _quantiles(finite, BINS)
    repeated = [edge for edge, after in pairwise(edges) if edge == after]
    above = [distinct[np.searchsorted(distinct, edge, side="right")] for edge in repeated if edge < distinct[-1]]
    return _counted(values, np.unique(np.concatenate([edges, above])))


def deciles(values: NDArray[np.float32]) -> dict[str, Any]:
    """Bins of equal mass of the finite values, fewer where values repeat."""
    finite = values[np.isfinite(values)].astype(np.float64)
    return _counted(values, np.unique(_quantiles(finite, BINS)))


def frequencies(values: NDArray[Any], categories: Sequence[str] | None = None) -> dict[str, Any]:
    """How often each category occurs: those given, or else the most frequent ones."""
    found, counts = np.unique(values.astype(str), return_counts=True)
    if categories is None:
        kept = sorted(np.argsort(-counts, kind="stable")[:MOST_CATEGORIES])
        categories = [str(found[i]) for i in kept]
    number = dict(zip(found.tolist(), counts.tolist(), strict=True))
    known = [number.get(category, 0) for category in categories]
    return {
        "categories": list(categories),
        "counts": known,
        "missing": 0,
        "unseen": len(values) - sum(known),
        "rows": len(values),
    }


def count(values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.int64]:
    """How many finite ``values`` fall in each of the ``len(edges) + 1`` bins."""
    return np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)


def smoothed_psi(baseline: Mapping[str, Any], values: NDArray[Any]) -> float:
    """Population stability index of ``values`` against a baseline's bins, half a row added to each bin.

    Missing and infinite values have bins too. It is not ``ml.feature_drift.psi``, which floors the share of an empty
    bin instead: that one is compared with a threshold, this one only orders the features of a report.
    """
    finite = values[np.isfinite(values)].astype(np.float64)
    now = [*count(finite, np.array(baseline["edges"])), np.isnan(values).sum(), np.isinf(values).sum()]
    then = [*baseline["counts"], baseline["nan"], baseline["infinite"]]
    a, b = ((np.array(side, np.float64) + 0.5) / (np.sum(side) + 0.5 * len(side)) for side in (then, now))
    return float(np.sum((b - a) * np.log(b / a)))


def _counted(values: NDArray[np.float32], edges: NDArray[np.float64]) -> dict[str, Any]:
    finite = values[np.isfinite(values)].astype(np.float64)
    return {
        "edges": edges.tolist(),
        "counts": count(finite, edges).tolist(),
        "nan": int(np.isnan(values).sum()),
        "infinite": int(np.isinf(values).sum()),
        "rows": len(values),
        "least": float(finite.min()) if len(finite) else None,
        "most": float(finite.max()) if len(finite) else None,
        "mean": float(finite.mean()) if len(finite) else None,
        "deviation": float(finite.std()) if len(finite) else None,
    }


def _quantiles(values: NDArray[np.float64], parts: int) -> list[float]:
    """Quantiles that are values themselves: an edge between two values would stand where no value is."""
    if len(values) == 0:
        return []
    found = np.quantile(values, np.linspace(0, 1, parts + 1)[1:-1], method="inverted_cdf")
    return [float(value) for value in found]
