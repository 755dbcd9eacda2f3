"""What is learned: a correction to the first-passage probability, on the scale of log-odds.

    logit P(target) = logit q + d(x),        q = first passage, with its corrections that need no labels

The same d moves the log-odds of not being stopped, which first passage has as well: proportional odds (McCullagh,
*Regression models for ordinal data*, 1980), with stop, neither and target in this order.

d sees only features without levels, and never turns the order of log-odds around. So P(target) and P(stop) stay
monotone in the distances of target and stop, as in first passage, whatever d is. Biases of three classes would break
that order on a fifth of pairs, a logit of its own for P(stop | not target) by a hundredth here and there.

Four candidates, from simple to rich, each pulled towards d = 0:

- ``first_passage``: d = 0.
- ``recalibrated``: d = b0 + b1 (logit q - its mean), each b ~ N(0, 0.1^2). (Platt, *Probabilistic outputs for support
  vector machines*, 1999, with q as the offset.)
- ``ridge``: d = w . x over a dozen directed features, standardised and held within 4, w ~ N(0, t^2 / 12) each; t of
  0.05, 0.1 or 0.2, by the evidence of the rows fitted on (Laplace's approximation: MacKay, *Bayesian interpolation*,
  1992).
- ``ensemble``: d = s times the mean of what the learners say (``learners``), within 1; s >= 0, s ~ N(0, 0.5^2), from
  answers to rows later than those that the learners had. Shrinking predictions by what they proved worth on other rows
  is Copas, *Regression, prediction and shrinkage* (1983).

``estimation`` fits them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from db_functions.passage import EDGE
from training.dataset import POSITIVE
from training.features import FEATURE_NAMES, FIRST_PASSAGE_NAMES, LEVEL_FREE
from training.learners import FittedEnsemble, Member, combined, in_chunks

Floats = NDArray[np.float64]
Ask = Callable[[Member, Any], Any]
"""A member's answer [N, 1] to features on the grid: its library's, or its tensor in the graph."""

CANDIDATES: Final = ("first_passage", "recalibrated", "ridge", "ensemble")
"""From simple to rich."""
NEWTON_EDGE: Final = 0.02
"""The same for Newton targets: one row at the edge would outweigh all others."""
FARTHEST: Final = 4.0
"""Standard deviations that a feature of the ridge counts at most."""

SERVED: Final = FIRST_PASSAGE_NAMES[:3]
"""P(target), P(stop) and P(neither) with the corrections that need no labels; the plain ones follow."""
TARGET, STOP, NEITHER = (FEATURE_NAMES.index(name) for name in SERVED)
DIRECTED: Final[Mapping[str, tuple[float, bool]]] = {
    "directed_momentum": (0.0, False),
    "di_agreement": (0.0, False),
    "market_agreement_5": (0.0, False),
    "rule_confidence": (0.0, False),
    "type_success_rate": (0.0, False),
    "rsi_14": (50.0, True),
    "macd_histogram": (0.0, True),
    "ema50_distance": (0.0, True),
    "momentum_20": (0.0, True),
    "trend_strength": (0.0, True),
    "money_flow_20": (0.0, True),
    "relative_strength_20": (0.0, True),
}
"""The features of the ridge: the value that favours no side, and whether it has to be multiplied by the direction."""


def log_odds(p: Any, xp: Any) -> Any:
    """Of probabilities held within EDGE; NaN stays NaN. For NumPy and the graph."""
    held = xp.where(p < EDGE, EDGE, p)
    held = xp.where(held > 1 - EDGE, 1 - EDGE, held)
    return xp.log(held / (1.0 - held))


def probability(z: Any, xp: Any) -> Any:
    """The inverse of :func:`log_odds`."""
    return 1.0 / (1.0 + xp.exp(-z))


@dataclass(frozen=True, slots=True)
class Rows:
    """What the candidates are fitted on: features [N, F] (the graph's: float32 values) and outcomes int8 [N].

    ``weight`` is the mean uniqueness of their label windows. First passage is defined for every row.
    """

    features: NDArray[np.floating[Any]]
    outcome: NDArray[np.int8]
    weight: float

    def __len__(self) -> int:
        return len(self.outcome)

    @property
    def hit(self) -> Floats:
        return np.asarray(self.outcome == POSITIVE, np.float64)

    @property
    def offset(self) -> Floats:
        """Log-odds of first passage, [N]."""
        return np.asarray(log_odds(self.column(TARGET), np), np.float64)

    def column(self, place: int) -> Floats:
        """One feature, [N]."""
        return np.asarray(self.features[:, place], np.float64)

    def take(self, index: NDArray[Any]) -> Rows:
        return Rows(np.asarray(self.features[index]), self.outcome[index], self.weight)

    def newton(self) -> tuple[Floats, Floats]:
        """Targets and weights of one Newton step from first passage, both [N]."""
        q = np.clip(self.column(TARGET), NEWTON_EDGE, 1 - NEWTON_EDGE)
        return (self.hit - q) / (q * (1 - q)), q * (1 - q)


class Correction(Protocol):
    """A fitted d. ``name`` is one of ``CANDIDATES``."""

    @property
    def name(self) -> str: ...

    def d(self, features: Any, offset: Any, xp: Any, ask: Ask) -> tuple[Any, dict[str, Any]]:
        """d of features [N, F] and log-odds [N, 2], as [N, 1] or for each of them, and what each member said of it."""


@dataclass(frozen=True, slots=True)
class Line:
    """intercept + slope (z - middle), added to log-odds z."""

    intercept: float
    slope: float
    middle: float

    def of(self, z: Any) -> Any:
        return self.intercept + self.slope * (z - self.middle)


@dataclass(frozen=True, slots=True)
class FirstPassage:
    """d = 0: nothing was learned."""

    name: str = "first_passage"

    def d(self, features: Any, offset: Any, xp: Any, ask: Ask) -> tuple[Any, dict[str, Any]]:  # noqa: ARG002
        return 0.0 * offset, {}


@dataclass(frozen=True, slots=True)
class Recalibrated:
    """A line in the log-odds of first passage."""

    line: Line
    name: str = "recalibrated"

    def d(self, features: Any, offset: Any, xp: Any, ask: Ask) -> tuple[Any, dict[str, Any]]:  # noqa: ARG002
        return self.line.of(offset), {}


@dataclass(frozen=True, slots=True)
class Ridge:
    """A weighted sum of directed features; ``mean``, ``scale`` and ``weights`` are float64 [1, D], ``spread`` is t."""

    mean: Floats
    scale: Floats
    weights: Floats
    spread: float
    name: str = "ridge"

    def d(self, features: Any, offset: Any, xp: Any, ask: Ask) -> tuple[Any, dict[str, Any]]:  # noqa: ARG002
        standard = self.standard(features, xp)
        total = xp.sum(standard * xp.asarray(self.weights), axis=1, keepdims=True)
        return total, {"ridge": total}

    def standard(self, features: Any, xp: Any) -> Any:
        """The directed features [N, D], in standard deviations; an absent one at the mean."""
        standard = (directed(features, xp) - xp.asarray(self.mean)) / xp.asarray(self.scale)
        standard = xp.where(standard > FARTHEST, FARTHEST, standard)
        standard = xp.where(standard < -FARTHEST, -FARTHEST, standard)
        return xp.where(xp.isnan(standard), 0.0, standard)


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Learners, and how far what they say is believed."""

    fitted: FittedEnsemble
    slope: float
    name: str = "ensemble"

    def d(self, features: Any, offset: Any, xp: Any, ask: Ask) -> tuple[Any, dict[str, Any]]:  # noqa: ARG002
        placed = self.fitted.grid.place(features, xp)
        said = {member.name: ask(member, placed) for member in self.fitted.members}
        return self.slope * combined(list(said.values()), xp), said


@dataclass(frozen=True, slots=True)
class Fitted:
    """First passage and a correction to it."""

    correction: Correction

    def probabilities(self, features: Any, xp: Any, ask: Ask) -> tuple[Any, dict[str, Any]]:
        """P(negative, neutral, positive) [N, 3] of float64 features [N, F]; what each member said, log-odds [N, 1].

        NaN where first passage is undefined.
        """
        if isinstance(self.correction, FirstPassage):
            return side_by_side(features, (STOP, NEITHER, TARGET), xp), {}
        offset = log_odds(features[:, TARGET : TARGET + 1], xp)
        both = xp.concat([offset, log_odds(1.0 - features[:, STOP : STOP + 1], xp)], axis=1)
        d, said = self.correction.d(features, both, xp, ask)
        p = probability(both + d, xp)
        target, not_stopped = p[:, :1], p[:, 1:]
        neither = not_stopped - target
        # Where nothing is left for it, rounding may leave less.
        neither = xp.where(neither < 0.0, 0.0 * neither, neither)
        return xp.concat([1.0 - not_stopped, neither, target], axis=1), {"first_passage": offset, **said}

    def answer(self, features: NDArray[np.floating[Any]]) -> Floats:
        """:meth:`probabilities` by NumPy and the learners' own libraries, [N, 3]."""
        found = [self.probabilities(np.asarray(part, np.float64), np, by_library)[0] for part in in_chunks(features)]
        return np.concatenate([np.empty((0, 3)), *found])


def by_library(member: Member, placed: NDArray[np.float32]) -> Floats:
    """A member's answer [N, 1], by its own library."""
    return member.correction(placed)[:, None]


def side_by_side(features: Any, columns: Sequence[int], xp: Any) -> Any:
    """Some columns of features [N, F], in the order named."""
    return xp.concat([features[:, column : column + 1] for column in columns], axis=1)


_COLUMNS: Final = np.array([FEATURE_NAMES.index(name) for name in DIRECTED])
_NEUTRAL: Final = np.array([[neutral for neutral, _ in DIRECTED.values()]])
_TURNED: Final = np.array([[turned for _, turned in DIRECTED.values()]])
_DIRECTION: Final = FEATURE_NAMES.index("direction")
USED: Final = np.array([name in LEVEL_FREE for name in FEATURE_NAMES])
"""Which features the learners see, [F]."""


def directed(features: Any, xp: Any) -> Any:
    """The features of the ridge [N, D]: above 0 they favour the pattern."""
    chosen = xp.take(features, xp.asarray(_COLUMNS), axis=1) - xp.asarray(_NEUTRAL)
    direction = features[:, _DIRECTION : _DIRECTION + 1]
    return xp.where(xp.asarray(_TURNED), chosen * direction, chosen)
