"""How the tests of the features compare: matrices by feature name, and the second definition as a matrix."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.features_oracle import BY_HAND, BY_TALIB, Row
from tests.features_rows import Rows
from training.features import FEATURE_NAMES, FEATURES, compute

Matrix = NDArray[np.float64]

RELATIVE = 1e-9
HORIZON = 20
ABSOLUTE = 1e-11
"""Room for values near zero, where TA-Lib's own rounding (some 1e-16 of the price) is all that is left."""
ORACLE = BY_TALIB | BY_HAND
COLUMN = {name: i for i, name in enumerate(FEATURE_NAMES)}
PROJECT = Path(__file__).parent.parent


def features_of(rows: Rows) -> Matrix:
    values: Matrix = compute(rows, np, HORIZON)
    return values


def column(rows: Rows, name: str) -> Matrix:
    return features_of(rows)[:, COLUMN[name]]


def oracle(rows: Rows) -> Matrix:
    """Every feature by the second definition; TA-Lib itself says when a history is too short for it."""
    out = np.full((len(rows["bars"]), len(FEATURES)), np.nan)
    for i in range(len(out)):
        row = Row(rows, i)
        for j, feature in enumerate(FEATURES):
            if row.count >= feature.min_bars or (feature.name in BY_TALIB and row.count):
                out[i, j] = ORACLE[feature.name](row)
    return out


def differences(got: Matrix, expected: Matrix, relative: float, absolute: float) -> list[str]:
    """Which features differ, by name, with the first values that do."""
    alike = np.isclose(got, expected, rtol=relative, atol=absolute, equal_nan=True)
    return [
        f"{FEATURE_NAMES[j]}: {got[i, j]!r} for {expected[i, j]!r} in row {i}, {int((~alike[:, j]).sum())} rows in all"
        for j in np.flatnonzero(~alike.all(axis=0))
        for i in [int(np.argmin(alike[:, j]))]
    ]
