"""The columns that a classifier of someone else's may read, and how they are given to it.

Features are rounded before they are given, in training and in the graph: NumPy and ONNX Runtime differ in the last bits
of some of them, and a tree splits on anything. ``Grid`` of :mod:`training.learners` does so by what it was fitted on;
here nothing is fitted, so the step is the same for everyone.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from training.dataset import Dataset
from training.errors import NotPublishable, PandasMissing
from training.features import FEATURE_NAMES, FEATURES, Array, compute_named

TEXTS: Final = ("pattern_type", "timeframe")
"""The columns of text: inputs of the scoring contract, as on the row."""
BITS: Final = 18
"""Significant bits of a rounded feature: 1 part in 262,144, and the middle of two neighbours is exact in float32."""
FLOOR: Final = 2.0**-24
"""The least step of a rounded feature: what is nothing but rounding error around zero becomes zero."""
_SPLITTER: Final = 2.0 ** (53 - BITS) + 1
CHUNK: Final = 2_000


def rounded(features: Any, xp: Any) -> Any:
    """Float64 features rounded to BITS significant bits and to multiples of FLOOR; NaN stays. For NumPy and the graph.

    The split of a product's high bits is Dekker's (*A floating-point technique for extending the available precision*,
    1971).
    """
    scaled = features * _SPLITTER
    high = scaled - (scaled - features)
    return xp.round(high / FLOOR) * FLOOR


def as_given(inputs: Mapping[str, Array], xp: Any, horizon: int, *, names: Sequence[str]) -> Array:
    """The features ``names`` as a classifier is given them, float64 [N, F] in the order of ``FEATURE_NAMES``."""
    return rounded(compute_named(inputs, xp, horizon, names=frozenset(names)), xp)


def features_of(dataset: Dataset, names: Sequence[str]) -> NDArray[np.float64]:
    """:func:`as_given` of a dataset, in chunks that bound memory."""
    compute = partial(as_given, names=names)
    parts = [
        compute(dataset.take(slice(start, start + CHUNK)).inputs, np, dataset.horizon)
        for start in range(0, len(dataset), CHUNK)
    ]
    return np.concatenate([np.empty((0, len(names))), *parts])


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns that a classifier was fitted on, in its order; ``framed`` when it knows them by name."""

    names: tuple[str, ...]
    framed: bool

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(name for name in self.names if name in TEXTS)

    @property
    def features(self) -> tuple[str, ...]:
        """Those that are features, in the order of ``FEATURE_NAMES``, as the model shows them."""
        return tuple(name for name in FEATURE_NAMES if name in self.names)

    @property
    def own_order(self) -> list[int]:
        """For each feature in the classifier's order its place in :attr:`features`."""
        return [self.features.index(name) for name in self.names if name not in TEXTS]

    @property
    def moved(self) -> list[int]:
        """For each column its place when texts come after the features."""
        order = [name for name in self.names if name not in TEXTS] + list(self.texts)
        return [order.index(name) for name in self.names]

    def table(self, features: NDArray[np.float64], texts: Mapping[str, NDArray[Any]]) -> Any:
        """What the classifier takes: a DataFrame where it was fitted on one, else an array [N, C].

        ``features`` is [N, F] in the order of :attr:`features`, ``texts`` [N] each.
        """
        if not self.framed:
            return features[:, self.own_order]
        known = dict(zip(self.features, features.T, strict=True))
        return pandas().DataFrame({name: texts[name] if name in TEXTS else known[name] for name in self.names})

    def blanked(self, features: NDArray[np.float64], min_bars: int) -> NDArray[np.float64]:
        """``features`` with a third of what may be missing made NaN, a different third in each row; the first row all.

        Real rows may lack nothing that a later one lacks.
        """
        may = np.array([_may_be_missing(name, min_bars) for name in self.features])
        drawn = np.random.default_rng(0).random(features.shape) < 1 / 3
        drawn[:1] = True
        return np.where(may & drawn, np.nan, features)

    def table_of(self, dataset: Dataset) -> Any:
        """:meth:`table` of a dataset's rows."""
        return self.table(features_of(dataset, self.features), dataset.inputs)


def columns_of(classifier: Any, names: Sequence[str] | None = None) -> Columns:
    """What ``classifier`` was fitted on; ``names`` where that was an array of other than all features.

    Raises NotPublishable, with what comes closest, when a column is none that the model can compute.
    """
    own = getattr(classifier, "feature_names_in_", None)
    width = getattr(classifier, "n_features_in_", None)
    framed = own is not None and names is None
    if own is not None and names is None:
        found = tuple(map(str, own))
    elif names is not None:
        found = tuple(names)
    elif width == len(FEATURE_NAMES):
        found = FEATURE_NAMES
    else:
        raise NotPublishable(
            f"the classifier was fitted on an array of {width} columns without names; fit it on a DataFrame, or say "
            "what they are with feature_names=[...]"
        )
    if width is not None and len(found) != width:
        raise NotPublishable(f"feature_names has {len(found)} names; the classifier was fitted on {width} columns")
    _require_known(found, framed)
    return Columns(found, framed)


def _require_known(names: Sequence[str], framed: bool) -> None:
    allowed = (*FEATURE_NAMES, *TEXTS) if framed else FEATURE_NAMES
    unknown = [name for name in names if name not in allowed]
    if unknown:
        near = [close[0] for name in unknown for close in [difflib.get_close_matches(name, allowed, 1)] if close]
        hint = f" (is it {', '.join(near)}?)" if near else ""
        raise NotPublishable(
            f"the model cannot compute the columns {', '.join(unknown[:5])}{hint}; fit on training.FEATURES, and where "
            f"a ColumnTransformer encodes them {' and '.join(TEXTS)}"
        )
    if len(set(names)) < len(names):
        raise NotPublishable("a column is named twice")


def _may_be_missing(name: str, min_bars: int) -> bool:
    """Whether the feature can be NaN in a row of at least ``min_bars`` bars."""
    feature = FEATURES[FEATURE_NAMES.index(name)]
    _, _, otherwise = feature.missing.partition("; ") if feature.min_bars else ("", "", feature.missing)
    return feature.min_bars > min_bars or "NaN" in otherwise


def pandas() -> Any:
    """The library. Raises PandasMissing, saying how to install it."""
    try:
        import pandas as library
    except ImportError as error:
        raise PandasMissing from error
    return library
