"""What the model sees: every feature, defined once, for training and for serving.

:func:`compute` runs with NumPy to make the training matrix and with ``ndonnx`` to become part of the model itself
(:mod:`training.features.graph`), so the two cannot differ. Each feature's documentation is :data:`FEATURES`, rendered
by ``python -m training.features``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

import numpy as np

from training.features.first_passage import FIRST_PASSAGE
from training.features.geometry import GEOMETRY
from training.features.history import HISTORY
from training.features.market import MARKET
from training.features.oscillators import OSCILLATORS
from training.features.price_action import PRICE_ACTION
from training.features.registry import Feature, Registered, evaluate
from training.features.technical import TECHNICAL
from training.features.window import Array, Window

__all__ = [
    "FEATURES",
    "FEATURE_NAMES",
    "FIRST_PASSAGE_NAMES",
    "INPUT_NAMES",
    "LEVEL_FREE",
    "LEVEL_NAMES",
    "MIN_BARS",
    "Array",
    "Feature",
    "compute",
    "compute_first_passage",
    "compute_named",
]

_FAMILIES: Final = (GEOMETRY, TECHNICAL, OSCILLATORS, PRICE_ACTION, MARKET, HISTORY, FIRST_PASSAGE)
_REGISTERED: Final = tuple(entry for family in _FAMILIES for entry in family.registered)

FEATURES: Final[tuple[Feature, ...]] = tuple(entry.feature for entry in _REGISTERED)
FEATURE_NAMES: Final[tuple[str, ...]] = tuple(feature.name for feature in FEATURES)

FIRST_PASSAGE_NAMES: Final = tuple(entry.feature.name for entry in FIRST_PASSAGE.registered)

LEVEL_NAMES: Final = (
    "support_distance",
    "resistance_distance",
    "target_distance",
    "stop_distance",
    "entry_progress",
    "risk_reward",
    "entry_risk",
    "entry_risk_fraction",
    "pattern_height",
    "pattern_height_atr",
    "place_in_pattern",
    "support_touches",
    "resistance_touches",
    "breakout_strength",
    "breakout_conviction",
    "target_extension",
    *FIRST_PASSAGE_NAMES,
)
"""The features that read the row's levels."""

LEVEL_FREE: Final = tuple(name for name in FEATURE_NAMES if name not in LEVEL_NAMES)
"""All others, in the order of :data:`FEATURE_NAMES`: whatever is made of them does not move with target or stop."""

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


def compute(inputs: Mapping[str, Array], xp: Any, horizon: int) -> Array:
    """The features of a batch, float64 [N, F], in the order of :data:`FEATURE_NAMES`; NaN where missing, never inf.

    ``inputs`` has the contract's names and shapes (:data:`INPUT_NAMES`; others are ignored); ``xp`` is the array
    namespace that they belong to, ``numpy`` or ``ndonnx``. ``horizon`` is the setting ``label_horizon``, in bars.
    """
    return _evaluate(_REGISTERED, inputs, xp, horizon)


def compute_first_passage(inputs: Mapping[str, Array], xp: Any, horizon: int) -> Array:
    """:func:`compute` for the features named in :data:`FIRST_PASSAGE_NAMES` only; reads bars, levels and direction."""
    return _evaluate(FIRST_PASSAGE.registered, inputs, xp, horizon)


def compute_named(inputs: Mapping[str, Array], xp: Any, horizon: int, *, names: Collection[str]) -> Array:
    """:func:`compute` for the features ``names`` only, in the order of :data:`FEATURE_NAMES`."""
    return _evaluate([entry for entry in _REGISTERED if entry.feature.name in names], inputs, xp, horizon)


def _evaluate(registered: Iterable[Registered], inputs: Mapping[str, Array], xp: Any, horizon: int) -> Array:
    # Divisions by zero are answered one by one, after the fact, as the graph's own arithmetic does it.
    with np.errstate(all="ignore"):
        return evaluate(registered, Window(inputs, xp, horizon))
