"""The learners, the ensemble they form, and fitting it so that it survives conversion to ONNX.

What converts exactly is narrower than what scikit-learn fits (measured; see the parity gate in ``verify``): trees must
be fitted on float32, on imputed values, with no scaler before them. So features are put on a float32 grid here, by code
that also runs inside the graph, and imputed first; the one scaler stands inside the logistic member.

Market data is mostly noise, so every learner is held in: large leaves, shallow and slow boosting, small weights. What
that was worth on real patterns stands in ``calibrate``, which also stretches answers that turn out too timid.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, VotingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from db_functions.contract import CLASSES
from training.errors import UnknownLearner

TREES: Final = 300
ROUNDS: Final = 120
LIMIT_SHARE: Final = 0.001
"""Features are held within the quantiles [LIMIT_SHARE, 1 - LIMIT_SHARE] of the rows fitted on."""
GRID_BITS: Final = 20
"""A feature is rounded to its largest limit (as a power of two) divided by two to this power."""
LEAST_STEP_EXPONENT: Final = -40
"""The finest step, 2**-40 or about 1e-12: anything smaller in a feature is rounding."""


LEAF_SHARE: Final = 0.02
LEAST_LEAF: Final = 20


def _leaf(rows: int) -> int:
    """The fewest rows of a leaf: a share, since the mean of a leaf is as noisy however many leaves there are."""
    return max(LEAST_LEAF, round(LEAF_SHARE * rows))


def _random_forest(seed: int, size: float, rows: int) -> Any:
    # Depth bounds the file's size whatever the number of rows.
    return RandomForestClassifier(
        max(1, round(TREES * size)), max_depth=10, min_samples_leaf=_leaf(rows), n_jobs=-1, random_state=seed
    )


def _logistic(seed: int, size: float, rows: int) -> Any:  # noqa: ARG001 - one signature for all
    # A prior of standard deviation sqrt(C) on each weight: a hundred features move the log-odds by 0.3, unless many
    # rows say more.
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.001, max_iter=1000, random_state=seed))


def _gradient_boosting(seed: int, size: float, rows: int) -> Any:
    # No early stopping: it would hold out rows at random, and neighbours in time would leak into them.
    return HistGradientBoostingClassifier(
        max_iter=max(1, round(ROUNDS * size)),
        learning_rate=0.02,
        max_leaf_nodes=4,
        min_samples_leaf=max(2 * LEAST_LEAF, _leaf(rows)),
        l2_regularization=50.0,
        early_stopping=False,
        random_state=seed,
    )


LEARNERS: Final[Mapping[str, Callable[[int, float, int], Any]]] = {
    "random_forest": _random_forest,
    "logistic": _logistic,
    "gradient_boosting": _gradient_boosting,
}


@dataclass(frozen=True, slots=True)
class Grid:
    """What features are put on before anything is fitted: limits and a step for each, float64 [1, F].

    Limits, because one wild value (a volume ratio over an empty month) would carry the logistic member away, and
    float32 arithmetic with it. A step, because NumPy and ONNX Runtime round the last bits of some features differently,
    and trees split on anything: a value lying exactly on a threshold, or a feature that is nothing but rounding (the
    strength of a symbol relative to itself), would put the same row on different sides (measured: 0.005 and 0.016 of
    probability). Steps are powers of two and at most 2**20 reach a limit, so the float32 cast and every threshold
    between two steps are exact, and differences far below a step vanish.
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    step: NDArray[np.float64]

    def place(self, features: Any, xp: Any) -> Any:
        """Float64 features [N, F] on the grid, as float32; NaN stays NaN. For NumPy and for the graph alike."""
        low, high, step = (xp.asarray(values) for values in (self.low, self.high, self.step))
        limited = xp.where(features < low, low, features)
        limited = xp.where(limited > high, high, limited)
        return xp.astype(xp.round(limited / step) * step, xp.float32)


@dataclass(frozen=True, slots=True)
class FittedEnsemble:
    """A fitted soft vote, with the grid its features are put on and the classes it has seen."""

    algorithm: str
    estimator: Pipeline
    grid: Grid
    classes: tuple[int, ...]

    def probabilities(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """scikit-learn's P(negative, neutral, positive), [N, 3], of features [N, F]; 0 for a class never seen."""
        answer = np.zeros((len(features), len(CLASSES)))
        if len(features):
            answer[:, list(self.classes)] = self.estimator.predict_proba(self.grid.place(features, np))
        return answer


def fit_ensemble(
    features: NDArray[np.float64],
    outcome: NDArray[np.int8],
    models: Sequence[str],
    *,
    seed: int,
    size: float = 1.0,
) -> FittedEnsemble:
    """Fit the named learners on features [N, F] and join them by soft vote.

    ``size`` scales the number of trees, for tests. Raises UnknownLearner for a name that is not in ``LEARNERS``.
    """
    names = check_names(models)
    vote = VotingClassifier(
        [(name, LEARNERS[name](seed, size, len(features))) for name in names], voting="soft", flatten_transform=False
    )
    estimator = make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), vote)
    grid = fit_grid(features)
    estimator.fit(grid.place(features, np), outcome)
    _use_one_thread(vote)
    return FittedEnsemble(_algorithm(names), estimator, grid, tuple(int(c) for c in vote.classes_))


def check_names(models: Sequence[str]) -> list[str]:
    """The learners named, each once; raises UnknownLearner for a name that is not in ``LEARNERS``, or none at all."""
    names = list(dict.fromkeys(models))
    unknown = [name for name in names if name not in LEARNERS]
    if unknown or not names:
        raise UnknownLearner(f"no learner {', '.join(unknown) or 'was named'}; choose from {', '.join(LEARNERS)}")
    return names


def _algorithm(names: Sequence[str]) -> str:
    if len(names) == 1:
        return names[0]
    return "ensemble" if set(names) == set(LEARNERS) else "+".join(names)


def fit_grid(features: NDArray[np.float64]) -> Grid:
    """The grid of the rows [N, F] to be fitted on; a feature never finite in them is held at 0, that is, ignored."""
    finite = np.where(np.isfinite(features), features, np.nan)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice", RuntimeWarning)
        limits = np.nan_to_num(np.nanquantile(finite, [LIMIT_SHARE, 1 - LIMIT_SHARE], axis=0, keepdims=True))
    largest = np.abs(limits).max(axis=0)
    exponent = np.ceil(np.log2(largest, where=largest > 0, out=np.zeros_like(largest)))
    return Grid(limits[0], limits[1], np.exp2(np.maximum(exponent - GRID_BITS, LEAST_STEP_EXPONENT)))


def _use_one_thread(vote: VotingClassifier) -> None:
    # Threads add up the trees' votes in the order they finish, so the last bits would differ from run to run.
    for member in vote.estimators_:
        if hasattr(member, "n_jobs"):
            member.n_jobs = 1
