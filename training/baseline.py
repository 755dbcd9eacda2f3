"""What the model saw in training, as frozen bins that live rows are later counted into.

Bin ``i`` holds the values with exactly ``i`` edges at or below them, so the two outer bins are open, and PostgreSQL's
``width_bucket(value, edges)`` gives the same number. NaN and infinities are counted apart: a feature that goes missing
drifts too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

BINS: Final = 10


def drift_baseline(
    features: NDArray[np.float32], names: Sequence[str], confidence: NDArray[np.float32]
) -> dict[str, Any]:
    """The baseline, ready for JSON.

    ``features`` [N, F] of the rows fitted on; ``confidence`` [M] of rows *not* fitted on, for a model is surer of the
    rows it learnt, and live predictions would seem to drift from the first day.
    """
    return {
        "features": {name: histogram(features[:, column]) for column, name in enumerate(names)},
        "ml_confidence": histogram(confidence),
    }


def histogram(values: NDArray[np.float32]) -> dict[str, Any]:
    """Decile edges of the finite values (fewer where values repeat) and how many values fall in each bin."""
    finite = values[np.isfinite(values)].astype(np.float64)
    edges = np.unique(np.quantile(finite, np.linspace(0, 1, BINS + 1)[1:-1])) if len(finite) else np.empty(0)
    return {
        "edges": edges.tolist(),
        "counts": count(finite, edges).tolist(),
        "nan": int(np.isnan(values).sum()),
        "infinite": int(np.isinf(values).sum()),
        "rows": len(values),
    }


def count(values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.int64]:
    """How many finite ``values`` fall in each of the ``len(edges) + 1`` bins."""
    return np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
