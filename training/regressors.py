"""The learners one by one: regressors, their arguments, and the values of these that ``tune`` tries.

Market data is mostly noise, so every learner is held in: large leaves, shallow and slow boosting, small weights.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, Literal

from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
)
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from db_functions.extras import install
from training.errors import LearnerNotInstalled

TREES: Final = 100
"""More take time and change the mean of trees with large leaves by little."""
ROUNDS: Final = 120
BINS: Final = 64
LEAF_SHARE: Final = 0.02
LEAST_LEAF: Final = 20

Parameters = Mapping[str, Mapping[str, Any]]
"""Arguments of learners, by learner, that replace their defaults; the functions in ``LEARNERS`` have them."""


def _leaf(rows: int, share: float) -> int:
    """The fewest rows of a leaf: a share, since the mean of a leaf is as noisy however many leaves there are."""
    return max(LEAST_LEAF, round(share * rows))


def _times(size: float, count: int) -> int:
    return max(1, round(count * size))


def _forest(
    kind: Callable[..., Any],
    seed: int,
    size: float,
    rows: int,
    *,
    depth: int = 10,
    leaf_share: float = LEAF_SHARE,
    features: float | Literal["sqrt"] = "sqrt",
) -> Any:
    # Depth bounds the file's size whatever the number of rows.
    return kind(
        _times(size, TREES),
        max_depth=depth,
        min_samples_leaf=_leaf(rows, leaf_share),
        max_features=features,
        n_jobs=-1,
        random_state=seed,
    )


def _logistic(seed: int, size: float, rows: int, *, strength: float = 0.001) -> Any:  # noqa: ARG001 - one signature
    # A prior of standard deviation sqrt(strength) on each weight: a hundred features move the log-odds by 0.3, unless
    # many rows say more. Under the Newton weights this is one step of a logistic regression with the offset q.
    return make_pipeline(StandardScaler(), Ridge(alpha=1 / strength, solver="cholesky"))


# No boosting below stops early: it would hold out rows at random, and neighbours in time would leak into them.


def _gradient_boosting(
    seed: int,
    size: float,
    rows: int,
    *,
    rate: float = 0.02,
    leaves: int = 4,
    leaf_share: float = LEAF_SHARE,
    penalty: float = 50.0,
) -> Any:
    return HistGradientBoostingRegressor(
        # The quantiles of weighted rows take scikit-learn most of a fit's time; leaves are larger than a bin anyway.
        max_bins=BINS,
        max_iter=_times(size, ROUNDS),
        learning_rate=rate,
        max_leaf_nodes=leaves,
        min_samples_leaf=max(2 * LEAST_LEAF, _leaf(rows, leaf_share)),
        l2_regularization=penalty,
        early_stopping=False,
        random_state=seed,
    )


def _exact_boosting(
    seed: int,
    size: float,
    rows: int,
    *,
    rate: float = 0.02,
    depth: int = 2,
    leaf_share: float = LEAF_SHARE,
    features: float = 0.1,
) -> Any:
    # Half the rows and a tenth of the features for each tree: what an exact search of every threshold needs not to
    # follow noise, nor to take minutes.
    return GradientBoostingRegressor(
        n_estimators=_times(size, ROUNDS),
        learning_rate=rate,
        max_depth=depth,
        min_samples_leaf=max(2 * LEAST_LEAF, _leaf(rows, leaf_share)),
        subsample=0.5,
        max_features=features,
        random_state=seed,
    )


def _xgboost(
    seed: int,
    size: float,
    rows: int,
    *,
    rate: float = 0.02,
    depth: int = 2,
    leaf_share: float = LEAF_SHARE,
    penalty: float = 50.0,
) -> Any:
    return _library("xgboost").XGBRegressor(
        n_estimators=_times(size, ROUNDS),
        learning_rate=rate,
        max_depth=depth,
        # A row's hessian is p (1 - p), near 0.2 here.
        min_child_weight=0.2 * max(2 * LEAST_LEAF, _leaf(rows, leaf_share)),
        reg_lambda=penalty,
        tree_method="hist",
        n_jobs=1,
        random_state=seed,
    )


def _lightgbm(
    seed: int,
    size: float,
    rows: int,
    *,
    rate: float = 0.02,
    leaves: int = 4,
    leaf_share: float = LEAF_SHARE,
    penalty: float = 50.0,
) -> Any:
    return _library("lightgbm").LGBMRegressor(
        n_estimators=_times(size, ROUNDS),
        learning_rate=rate,
        num_leaves=leaves,
        min_child_samples=max(2 * LEAST_LEAF, _leaf(rows, leaf_share)),
        reg_lambda=penalty,
        deterministic=True,
        force_row_wise=True,
        n_jobs=1,
        random_state=seed,
        verbose=-1,
    )


def _library(name: str) -> Any:
    """An optional library. Raises LearnerNotInstalled where it is missing."""
    try:
        importlib.import_module("onnxmltools")
        return importlib.import_module(name)
    except ImportError as error:
        raise LearnerNotInstalled(
            f"learner {name} needs the packages {name} and onnxmltools: {install(name)}"
        ) from error


LEARNERS: Final[Mapping[str, Callable[..., Any]]] = {
    "random_forest": partial(_forest, RandomForestRegressor),
    "logistic": _logistic,
    "gradient_boosting": _gradient_boosting,
    "extra_trees": partial(_forest, ExtraTreesRegressor),
    "exact_boosting": _exact_boosting,
    "xgboost": _xgboost,
    "lightgbm": _lightgbm,
}
"""Each builds an unfitted regressor from (seed, size, rows); other arguments are what ``Parameters`` may change."""
DEFAULT: Final = ("random_forest", "logistic", "gradient_boosting")

_FOREST: Final = {
    "depth": (4, 6, 10),
    "leaf_share": (0.005, 0.01, 0.02, 0.05, 0.1),
    "features": ("sqrt", 0.03, 0.3),
}
_BOOSTING: Final = {"rate": (0.005, 0.01, 0.02, 0.05, 0.1), "leaf_share": (0.005, 0.01, 0.02, 0.05)}
_LEAVES: Final = _BOOSTING | {"leaves": (2, 4, 8, 16), "penalty": (5.0, 50.0, 500.0)}
_DEPTHS: Final = _BOOSTING | {"depth": (1, 2, 3, 4)}
SPACES: Final[Mapping[str, Mapping[str, Sequence[Any]]]] = {
    "random_forest": _FOREST,
    "logistic": {"strength": (1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 1.0)},
    "gradient_boosting": _LEAVES,
    "extra_trees": _FOREST,
    "exact_boosting": _DEPTHS | {"features": (0.03, 0.1, 0.3)},
    "xgboost": _DEPTHS | {"penalty": (5.0, 50.0, 500.0)},
    "lightgbm": _LEAVES,
}
"""Where ``tune`` looks for each learner's arguments. Steps that could matter, not a continuum: a finer choice than the
folds can tell apart is a choice by chance."""
