"""The ensemble that the learners form, and fitting it so that it survives conversion to ONNX.

Each learner is a regressor of what the first-passage probability q leaves open, on the scale of log-odds. One step of
Newton's method from q towards the log-odds that explain the outcomes y best is a weighted least-squares problem
(McCullagh and Nelder, *Generalized Linear Models*, 1989; Friedman, Hastie and Tibshirani, *Additive logistic
regression*, 2000):

    target (y - q) / (q (1 - q)),  weight q (1 - q),

which any regressor that takes weights solves in its own way. More steps would follow noise: the signal is small.

What converts exactly is narrower than what the libraries fit (measured; see the parity gate in ``verify``): trees must
be fitted on float32, on imputed values, with no scaler before them. So features are put on a float32 grid here, absent
ones on their median, by code that also runs inside the graph; the one scaler stands inside the logistic member.

The ensemble's slope (``correction``) shrinks or stretches what the learners say to what it proved worth on later rows.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from training.errors import UnknownLearner
from training.regressors import DEFAULT, LEARNERS, Parameters

LIMIT_SHARE: Final = 0.001
"""Features are held within the quantiles [LIMIT_SHARE, 1 - LIMIT_SHARE] of the rows fitted on."""
GRID_BITS: Final = 20
"""A feature is rounded to its largest limit (as a power of two) divided by two to this power."""
LEAST_STEP_EXPONENT: Final = -40
"""The finest step, 2**-40 or about 1e-12: anything smaller in a feature is rounding."""
LIMIT: Final = 1.0
"""Log-odds: the farthest that an ensemble moves first passage before its slope."""
_CHUNK: Final = 50_000


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
