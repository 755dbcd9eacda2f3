"""The contender without the prior: a plain ensemble of classifiers on the 112 features that are not first passage.

This is what the project served before first passage: forest, logistic regression and boosting, their mean, and a
logistic map of its log-odds fitted on the latest fifth of the rows (Platt, *Probabilistic outputs for support vector
machines*, 1999). Settings are those of the learners in :mod:`training.learners`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from training.features import FEATURE_NAMES, FIRST_PASSAGE_NAMES
from training.regressors import LEAF_SHARE, LEAST_LEAF, ROUNDS, TREES
from training.split import Split

Floats = NDArray[np.float64]

USED: Final = np.array([name not in FIRST_PASSAGE_NAMES for name in FEATURE_NAMES])
_CLIP: Final = 8.0
"""Standard deviations; one wild value would carry the logistic regression away."""


def fit(
    features: Floats, hit: NDArray[np.bool_], split: Split, *, size: float, seed: int
) -> Callable[[Floats], Floats]:
    """P(positive) [M] of features [M, F]: the logistic map learned on the test of ``split``, the members on all rows.

    ``features`` are [N, F] and ``hit`` [N] of the rows known. ``size`` scales the numbers of trees and rounds.
    """
    early = _vote(_fitted(features[split.fit], hit[split.fit], size, seed), features[split.test])
    line = LogisticRegression(C=1.0).fit(logit(early)[:, None], hit[split.test])
    members = _fitted(features, hit, size, seed)
    return lambda asked: np.asarray(line.predict_proba(logit(_vote(members, asked))[:, None])[:, 1], np.float64)


def _fitted(features: Floats, hit: NDArray[np.bool_], size: float, seed: int) -> list[Any]:
    leaf = max(LEAST_LEAF, round(LEAF_SHARE * len(hit)))
    forest = RandomForestClassifier(
        max(1, round(TREES * size)), max_depth=10, min_samples_leaf=leaf, n_jobs=-1, random_state=seed
    )
    boosting = HistGradientBoostingClassifier(
        max_iter=max(1, round(ROUNDS * size)),
        learning_rate=0.02,
        max_leaf_nodes=4,
        min_samples_leaf=max(2 * LEAST_LEAF, leaf),
        l2_regularization=50.0,
        early_stopping=False,
        random_state=seed,
    )
    median = SimpleImputer(strategy="median", keep_empty_features=True)
    logistic = make_pipeline(
        StandardScaler(), FunctionTransformer(_clipped), LogisticRegression(C=0.001, max_iter=1000)
    )
    return [make_pipeline(median, one).fit(features[:, USED], hit) for one in (forest, logistic, boosting)]


def _clipped(values: Floats) -> Floats:
    return np.asarray(np.clip(values, -_CLIP, _CLIP), np.float64)


def _vote(members: Sequence[Any], features: Floats) -> Floats:
    mean = np.mean([one.predict_proba(features[:, USED])[:, 1] for one in members], axis=0)
    return np.asarray(np.clip(mean, 1e-3, 1 - 1e-3), np.float64)
