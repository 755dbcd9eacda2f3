"""The learners, the ensemble they form, and fitting it so that it survives conversion to ONNX.

Each learner is a regressor of what the first-passage probability q leaves open, on the scale of log-odds. One step of
Newton's method from q towards the log-odds that explain the outcomes y best is a weighted least-squares problem
(McCullagh and Nelder, *Generalized Linear Models*, 1989; Friedman, Hastie and Tibshirani, *Additive logistic
regression*, 2000):

    target (y - q) / (q (1 - q)),  weight q (1 - q),

which any regressor that takes weights solves in its own way. More steps would follow noise: the signal is small.

What converts exactly is narrower than what the libraries fit (measured; see the parity gate in ``verify``): trees must
be fitted on float32, on imputed values, with no scaler before them. So features are put on a float32 grid here, absent
ones on their median, by code that also runs inside the graph; the one scaler stands inside the logistic member.

Market data is mostly noise, so every learner is held in: large leaves, shallow and slow boosting, small weights. The
ensemble's slope (``correction``) shrinks or stretches what they say to what it proved worth on later rows.
"""

from __future__ import annotations

import importlib
import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
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
from training.errors import LearnerNotInstalled, UnknownLearner

TREES: Final = 100
"""More take time and change the mean of trees with large leaves by little."""
ROUNDS: Final = 120
BINS: Final = 64
LIMIT_SHARE: Final = 0.001
"""Features are held within the quantiles [LIMIT_SHARE, 1 - LIMIT_SHARE] of the rows fitted on."""
GRID_BITS: Final = 20
"""A feature is rounded to its largest limit (as a power of two) divided by two to this power."""
LEAST_STEP_EXPONENT: Final = -40
"""The finest step, 2**-40 or about 1e-12: anything smaller in a feature is rounding."""
LIMIT: Final = 1.0
"""Log-odds: the farthest that an ensemble moves first passage before its slope."""
LEAF_SHARE: Final = 0.02
LEAST_LEAF: Final = 20
_CHUNK: Final = 50_000

Parameters = Mapping[str, Mapping[str, Any]]
"""Arguments of learners, by learner, that replace their defaults; the functions in ``LEARNERS`` have them."""


def _leaf(rows: int, share: float) -> int:
    """The fewest rows of a leaf: a share, since the mean of a leaf is as noisy however many leaves there are."""
    return max(LEAST_LEAF, round(share * rows))


def _times(size: float, count: int) -> int:
    return max(1, round(count * size))


def _random_forest(
    seed: int,
    size: float,
    rows: int,
    *,
    depth: int = 10,
    leaf_share: float = LEAF_SHARE,
    features: float | Literal["sqrt"] = "sqrt",
) -> Any:
    # Depth bounds the file's size whatever the number of rows.
    return RandomForestRegressor(
        _times(size, TREES),
        max_depth=depth,
        min_samples_leaf=_leaf(rows, leaf_share),
        max_features=features,
        n_jobs=-1,
        random_state=seed,
    )


def _extra_trees(
    seed: int,
    size: float,
    rows: int,
    *,
    depth: int = 10,
    leaf_share: float = LEAF_SHARE,
    features: float | Literal["sqrt"] = "sqrt",
) -> Any:
    return ExtraTreesRegressor(
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
    "random_forest": _random_forest,
    "logistic": _logistic,
    "gradient_boosting": _gradient_boosting,
    "extra_trees": _extra_trees,
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


@dataclass(frozen=True, slots=True)
class Grid:
    """What features are put on before anything is fitted: limits, a step and a median for each, float64 [1, F].

    Limits, because one wild value (a volume ratio over an empty month) would carry the logistic member away, and
    float32 arithmetic with it. A step, because NumPy and ONNX Runtime round the last bits of some features differently,
    and trees split on anything: a value lying exactly on a threshold, or a feature that is nothing but rounding (the
    strength of a symbol relative to itself), would put the same row on different sides (measured: 0.005 and 0.016 of
    probability). Steps are powers of two and at most 2**20 reach a limit, so the float32 cast and every threshold
    between two steps are exact, and differences far below a step vanish.

    Features are taken as float32 in the first place, as they are recorded with every score: what is recorded then says
    all that the members have seen.
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    step: NDArray[np.float64]
    median: NDArray[np.float64]
    """What stands for an absent value; itself on the grid."""

    def place(self, features: Any, xp: Any) -> Any:
        """Features [N, F] on the grid, as float32, NaN at the median. For NumPy and for the graph alike."""
        low, high, step, median = (xp.asarray(values) for values in (self.low, self.high, self.step, self.median))
        with np.errstate(over="ignore"):
            features = xp.astype(xp.astype(features, xp.float32), xp.float64)
        limited = xp.where(features < low, low, features)
        limited = xp.where(limited > high, high, limited)
        placed = xp.round(limited / step) * step
        return xp.astype(xp.where(xp.isnan(placed), median, placed), xp.float32)


@dataclass(frozen=True, slots=True)
class Member:
    """A fitted learner."""

    name: str
    estimator: Any

    def correction(self, placed: NDArray[np.float32]) -> NDArray[np.float64]:
        """Its own library's answer to features on the grid, [N], in log-odds."""
        if len(placed) == 0:
            return np.empty(0)
        with warnings.catch_warnings():
            # LightGBM names unnamed columns at fitting, and then warns that arrays have no names.
            warnings.filterwarnings("ignore", "X does not have valid feature names", UserWarning)
            return np.asarray(self.estimator.predict(placed), np.float64).reshape(-1)


@dataclass(frozen=True, slots=True)
class FittedEnsemble:
    """Fitted members, and the grid that their features are put on."""

    members: tuple[Member, ...]
    grid: Grid

    def correction(self, features: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """The members' mean answer to features [N, F], within LIMIT of 0: log-odds [N]."""
        placed = (self.grid.place(part, np) for part in in_chunks(features))
        found = [combined([member.correction(part) for member in self.members], np) for part in placed]
        return np.concatenate([np.empty(0), *found])


def combined(answers: Sequence[Any], xp: Any) -> Any:
    """The mean of what members say, in log-odds, held within LIMIT of 0. For NumPy and the graph."""
    total = answers[0]
    for answer in answers[1:]:
        total = total + answer
    mean = total / float(len(answers))
    mean = xp.where(mean > LIMIT, LIMIT, mean)
    return xp.where(mean < -LIMIT, -LIMIT, mean)


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that decides what is fitted on given rows."""

    models: tuple[str, ...]
    parameters: Parameters = field(default_factory=dict)
    seed: int = 0
    size: float = 1.0

    @property
    def algorithm(self) -> str:
        """A short name for what these learners form."""
        if len(self.models) == 1:
            return self.models[0]
        return "ensemble" if set(self.models) == set(DEFAULT) else "+".join(self.models)

    def unfitted(self, rows: int) -> list[Any]:
        """Its learners as they will be fitted on so many rows. Raises LearnerNotInstalled."""
        return [LEARNERS[name](self.seed, self.size, rows, **self.parameters.get(name, {})) for name in self.models]

    def fit(
        self,
        features: NDArray[np.floating[Any]],
        target: NDArray[np.float64],
        weight: NDArray[np.float64],
        used: NDArray[np.bool_] | None = None,
    ) -> FittedEnsemble:
        """Fit each learner to ``target`` [N] with ``weight`` [N] on those of the features [N, F] that are ``used`` [F].

        Raises LearnerNotInstalled.
        """
        grid = fit_grid(features, used)
        placed = np.concatenate([grid.place(part, np) for part in in_chunks(features)])
        members = []
        for name, estimator in zip(self.models, self.unfitted(len(features)), strict=True):
            # Of a pipeline the last step takes the weights.
            key = "ridge__sample_weight" if name == "logistic" else "sample_weight"
            estimator.fit(placed, target, **{key: weight})
            _use_one_thread(estimator)
            members.append(Member(name, estimator))
        return FittedEnsemble(tuple(members), grid)


def check_names(models: Sequence[str]) -> list[str]:
    """The learners named, each once; raises UnknownLearner for a name that is not in ``LEARNERS``, or none at all."""
    names = list(dict.fromkeys(models))
    unknown = [name for name in names if name not in LEARNERS]
    if unknown or not names:
        raise UnknownLearner(f"no learner {', '.join(unknown) or 'was named'}; choose from {', '.join(LEARNERS)}")
    return names


def defaults(name: str) -> dict[str, Any]:
    """The arguments of a learner that ``Parameters`` may change, as they are when it does not."""
    signature = inspect.signature(LEARNERS[name])
    return {key: it.default for key, it in signature.parameters.items() if it.kind is it.KEYWORD_ONLY}


def in_chunks(features: NDArray[np.floating[Any]]) -> Iterator[NDArray[np.floating[Any]]]:
    """The rows of features [N, F], so few at once that what is computed of them takes little memory."""
    return (features[start : start + _CHUNK] for start in range(0, len(features), _CHUNK))


def fit_grid(features: NDArray[np.floating[Any]], used: NDArray[np.bool_] | None = None) -> Grid:
    """The grid of the rows [N, F] to be fitted on.

    A feature that is not ``used`` [F], or never finite in these rows, is held at 0, that is, ignored.
    """
    limits, median = np.zeros((2, 1, features.shape[1])), np.zeros((1, features.shape[1]))
    for column in range(features.shape[1]) if used is None else np.flatnonzero(used):
        # In float64: quantiles of float32 are rounded otherwise.
        values = features[:, column].astype(np.float64)
        if len(finite := values[np.isfinite(values)]):
            limits[:, 0, column] = np.quantile(finite, [LIMIT_SHARE, 1 - LIMIT_SHARE])
            median[0, column] = np.median(finite)
    largest = np.abs(limits).max(axis=0)
    exponent = np.ceil(np.log2(largest, where=largest > 0, out=np.zeros_like(largest)))
    step = np.exp2(np.maximum(exponent - GRID_BITS, LEAST_STEP_EXPONENT))
    return Grid(limits[0], limits[1], step, np.round(np.clip(median, limits[0], limits[1]) / step) * step)


def _use_one_thread(estimator: Any) -> None:
    # Threads add up the trees' votes in the order they finish, so the last bits would differ from run to run.
    if hasattr(estimator, "n_jobs"):
        estimator.n_jobs = 1
