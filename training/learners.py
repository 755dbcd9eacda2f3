"""The learners, the ensemble they form, and fitting it so that it survives conversion to ONNX.

What converts exactly is narrower than what scikit-learn fits (measured; see the parity gate in ``verify``): trees must
be fitted on float32, on imputed values, with no scaler before them. So features are cast to float32 and limited here,
by code that also runs inside the graph, and imputed first; the one scaler stands inside the logistic member.
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


def _random_forest(seed: int, size: float) -> Any:
    # Depth bounds the file's size whatever the number of rows; leaves of 20 rows keep the votes honest.
    return RandomForestClassifier(
        max(1, round(TREES * size)), max_depth=10, min_samples_leaf=20, n_jobs=-1, random_state=seed
    )


def _logistic(seed: int, size: float) -> Any:  # noqa: ARG001 - one signature for all
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.05, max_iter=1000, random_state=seed))


def _gradient_boosting(seed: int, size: float) -> Any:
    # No early stopping: it would hold out rows at random, and neighbours in time would leak into them.
    return HistGradientBoostingClassifier(
        max_iter=max(1, round(ROUNDS * size)),
        learning_rate=0.04,
        max_leaf_nodes=12,
        min_samples_leaf=40,
        l2_regularization=5.0,
        early_stopping=False,
        random_state=seed,
    )


LEARNERS: Final[Mapping[str, Callable[[int, float], Any]]] = {
    "random_forest": _random_forest,
    "logistic": _logistic,
    "gradient_boosting": _gradient_boosting,
}


@dataclass(frozen=True, slots=True)
class FittedEnsemble:
    """A fitted soft vote, with the limits its features are held to and the classes it has seen."""

    algorithm: str
    estimator: Pipeline
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    classes: tuple[int, ...]

    def probabilities(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """scikit-learn's P(negative, neutral, positive), [N, 3], of features [N, F]; 0 for a class never seen."""
        limited = limit(to_float32(features), self.low, self.high, np)
        answer = np.zeros((len(features), len(CLASSES)))
        if len(features):
            answer[:, list(self.classes)] = self.estimator.predict_proba(limited)
        return answer


def to_float32(features: NDArray[np.float64]) -> NDArray[np.float32]:
    """The cast that the graph makes; what is too large for float32 becomes infinite without a warning."""
    with np.errstate(over="ignore"):
        return features.astype(np.float32)


def limit(features: Any, low: Any, high: Any, xp: Any) -> Any:
    """Hold float32 features [N, F] within [low, high]; NaN stays NaN. For NumPy and for the graph alike.

    One wild value (a volume ratio over an empty month, an infinity) would otherwise carry the logistic member away,
    and float32 arithmetic with it.
    """
    features = xp.where(features < low, low, features)
    return xp.where(features > high, high, features)


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
        [(name, LEARNERS[name](seed, size)) for name in names], voting="soft", flatten_transform=False
    )
    estimator = make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), vote)
    matrix = to_float32(features)
    low, high = _limits(matrix)
    limited = limit(matrix, low, high, np)
    estimator.fit(limited, outcome)
    _use_one_thread(vote)
    _centre_thresholds(vote, estimator[0].transform(limited))
    return FittedEnsemble(_algorithm(names), estimator, low, high, tuple(int(c) for c in vote.classes_))


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


def _limits(matrix: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Per feature, the limits; a feature never finite gets none, so it stays NaN until imputed."""
    finite = np.where(np.isfinite(matrix), matrix, np.float32(np.nan))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice", RuntimeWarning)
        low, high = np.nanquantile(finite, [LIMIT_SHARE, 1 - LIMIT_SHARE], axis=0).astype(np.float32)
    widest = np.finfo(np.float32)
    return np.where(np.isnan(low), widest.min, low), np.where(np.isnan(high), widest.max, high)


def _use_one_thread(vote: VotingClassifier) -> None:
    # Threads add up the trees' votes in the order they finish, so the last bits would differ from run to run.
    for member in vote.estimators_:
        if hasattr(member, "n_jobs"):
            member.n_jobs = 1


def _centre_thresholds(vote: VotingClassifier, matrix: NDArray[np.float32]) -> None:
    """Move each boosting threshold to the middle of the gap between the values fitted on, and onto a float32.

    Histogram boosting puts many thresholds exactly on a value of the training rows. Where the graph's arithmetic
    rounds that value's last bit the other way, the row falls on the other side and its probability jumps (measured:
    0.004). Forests split in the middle of gaps already. Conversion rounds thresholds to float32, at times upwards, past
    the value to keep apart; for float32 features x <= t exactly when x <= the float32 at or below t. The rows fitted on
    fall as they did before.
    """
    values = [np.unique(column).astype(np.float64) for column in matrix.T]
    for member in vote.estimators_:
        for trees in getattr(member, "_predictors", ()):
            for tree in trees:
                for node in np.flatnonzero(tree.nodes["is_leaf"] == 0):
                    seen = values[tree.nodes["feature_idx"][node]]
                    tree.nodes["num_threshold"][node] = _centred(tree.nodes["num_threshold"][node], seen)


def _centred(threshold: float, seen: NDArray[np.float64]) -> float:
    """The float32 at or below the middle of the gap that ``threshold`` lies in, among ``seen``, sorted and distinct."""
    above = int(np.searchsorted(seen, threshold, side="right"))
    if 0 < above < len(seen):
        threshold = seen[above - 1] / 2 + seen[above] / 2
    nearest = np.float32(threshold)
    return float(nearest if nearest <= threshold else np.nextafter(nearest, np.float32(-np.inf)))
