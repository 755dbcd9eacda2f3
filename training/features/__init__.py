"""What the model sees: every feature, defined once, for training and for serving.

:func:`compute` runs with NumPy to make the training matrix and with ``ndonnx`` to become part of the model itself
(:mod:`training.features.graph`), so the two cannot differ. Each feature's documentation is :data:`FEATURES`, rendered
by ``python -m training.features``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from training.features.geometry import GEOMETRY
from training.features.history import HISTORY
from training.features.market import MARKET
from training.features.oscillators import OSCILLATORS
from training.features.price_action import PRICE_ACTION
from training.features.registry import Feature, evaluate
from training.features.technical import TECHNICAL
from training.features.window import Array, Window

__all__ = ["FEATURES", "FEATURE_NAMES", "INPUT_NAMES", "MIN_BARS", "Array", "Feature", "compute"]

_FAMILIES: Final = (GEOMETRY, TECHNICAL, OSCILLATORS, PRICE_ACTION, MARKET, HISTORY)
_REGISTERED: Final = tuple(entry for family in _FAMILIES for entry in family.registered)

FEATURES: Final[tuple[Feature, ...]] = tuple(entry.feature for entry in _REGISTERED)
FEATURE_NAMES: Final[tuple[str, ...]] = tuple(feature.name for feature in FEATURES)

INPUT_NAMES: Final = (
    "bars",
    "market_bars",
    "levels",
    "rule_confidence",
    "direction",
    "duration_s",
    "detected_at",
    "context",
    "history",
)
"""The inputs of the scoring contract that :func:`compute` reads."""

MIN_BARS: Final = 30
"""Rows with fewer bars than this are not worth scoring: most of the features would be NaN."""


def compute(inputs: Mapping[str, Array], xp: Any) -> Array:
    """The features of a batch, float64 [N, F], in the order of :data:`FEATURE_NAMES`; NaN where missing, never inf.

    ``inputs`` has the contract's names and shapes (:data:`INPUT_NAMES`; others are ignored); ``xp`` is the array
    namespace that they belong to, ``numpy`` or ``ndonnx``.
    """
    # Divisions by zero are answered one by one, after the fact, as the graph's own arithmetic does it.
    with np.errstate(all="ignore"):
        return evaluate(_REGISTERED, Window(inputs, xp))
