"""Surfaces for questions: one model and one pattern, many targets and stops. No database.

The model is asked for a few pairs. Where its answers are first passage and a correction without levels, the others
follow from the formula; any other model is asked for every pair, as long as there are few.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from db_functions.contract import LEVEL_COLUMNS, Arrays, check_outputs
from db_functions.gather import Gathered
from db_functions.model import Model
from db_functions.surface import Ranges, fit_shift, outside, values
from db_functions.walk import Floats, Passage, Walk
from worker.serving.scoring import FAILED, INSUFFICIENT_BARS, LOW_QUALITY

MOST: Final = 64
"""Targets, and stops, of one surface."""
MOST_ASKED: Final = 256
"""Pairs for which a model is asked one by one: rows wait meanwhile."""
SIZE: Final = 32
"""Targets, and stops, where the question names none."""
_NEAREST, _FARTHEST = 0.25, 3.0
"""Spreads of the horizon between which they then lie."""
_TARGET, _STOP = LEVEL_COLUMNS.index("target"), LEVEL_COLUMNS.index("stoploss")
_NEAR: Final = np.array([[1.0, 1.0], [2.0, 0.7]])
"""Distances of target and stop in spreads."""
_DIGITS: Final = 6


@dataclass(frozen=True, slots=True)
class Trust:
    """What is known of a model: whether its correction is surely better than none, and the rows it was fitted on."""

    proven: bool
    ranges: Ranges | None


class Pairs(NamedTuple):
    """Prices of targets and of stops, [P] each."""

    targets: Floats
    stops: Floats

    def take(self, index: Any) -> Pairs:
        return Pairs(self.targets[index], self.stops[index])


@dataclass(frozen=True, slots=True)
class Answered:
    """What a model says of P pairs: ``p`` [P, 3] of negative, neutral, positive, NaN where undefined."""

    p: Floats
    learned: bool
    by_formula: bool


class NoSurface(Exception):
    """There is no surface; ``reason`` is one of those that rows have."""

    def __init__(self, reason: str, why: str) -> None:
        super().__init__(why)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Question:
    """Prices of the targets and stops that are asked about, None for a choice of them; ``horizon`` counts where the
    model does not state its own.
    """

    targets: Sequence[float] | None
    stops: Sequence[float] | None
    horizon: int
    cost_bps: float


def answer(
    model: Model, row: Gathered, trust: Trust, question: Question, deadline: float | None = None
) -> dict[str, Any]:
    """The answer to a question about the one pattern of ``row``, ready for JSON."""
    horizon = model.label_horizon or question.horizon
    said: dict[str, Any] = {"model_version": model.version, "horizon": horizon, "cost_bps": question.cost_bps}
    walk = Walk.of(row.inputs, horizon)
    if row.bars_seen[0] < model.min_bars:
        return said | {"reason": INSUFFICIENT_BARS, "error": f"the model needs {model.min_bars} bars"}
    if walk is None:
        return said | {"reason": LOW_QUALITY, "error": "no direction, too few bars, or no price has moved"}
    try:
        return said | _surface(model, row.inputs, walk, trust, question, deadline)
    except NoSurface as error:
        return said | {"reason": error.reason, "error": str(error)}


def _surface(
    model: Model, inputs: Arrays, walk: Walk, trust: Trust, question: Question, deadline: float | None
) -> dict[str, Any]:
    targets, stops = (
        np.array(given, np.float64) if given else _choice(walk, sign)
        for given, sign in ((question.targets, 1), (question.stops, -1))
    )
    grid = np.meshgrid(targets, stops, indexing="ij")
    # The drawn pair is the last.
    pairs = Pairs(*(np.append(side, own) for side, own in zip(grid, _drawn(walk, inputs), strict=True)))
    passage = walk.passage(*pairs)
    answered = _ask(model, inputs, walk, pairs, passage, deadline)
    worth = values(passage, answered.p, question.cost_bps)
    beyond = outside(passage.p, trust.ranges) if answered.learned else np.zeros(len(pairs.targets), np.bool_)
    best, why = _best(worth.least[:-1], beyond, answered.learned, trust)
    columns = {
        "p_target": answered.p[:, 2],
        "p_stop": answered.p[:, 0],
        "p_neither": answered.p[:, 1],
        "expected_value": worth.expected,
    }

    def one(i: int) -> dict[str, Any]:
        every = {"target": pairs.targets, "stop": pairs.stops, **columns}
        flag = None if beyond is None else bool(beyond[i])
        return {name: _plain(column[i]) for name, column in every.items()} | {"outside": flag}

    return {
        "reason": "answered",
        "close": walk.close,
        "direction": int(walk.side),
        "spread": round(walk.spread, _DIGITS),
        "by_formula": answered.by_formula,
        "targets": targets.tolist(),
        "stops": stops.tolist(),
        **{name: _table(column[:-1].reshape(grid[0].shape)) for name, column in columns.items()},
        "outside": None if beyond is None else beyond[:-1].reshape(grid[0].shape).tolist(),
        "drawn": one(-1),
        "best": None if best is None else one(best) | {"least_value": _plain(worth.least[best])},
        "verdict": "none surely better" if best is None else "surely better",
        "why": why,
    }


def _choice(walk: Walk, sign: float) -> Floats:
    return walk.level(walk.spread * np.linspace(_NEAREST, _FARTHEST, SIZE), sign)


def _drawn(walk: Walk, inputs: Arrays) -> tuple[float, float]:
    """Target and stop of the pattern, stand-ins where absent, as its label has them."""
    levels = np.asarray(inputs["levels"][0], np.float64)
    target, stop = levels[_TARGET], levels[_STOP]
    stand_in = walk.side * walk.reach
    return (
        float(target) if np.isfinite(target) else walk.price + stand_in,
        float(stop) if np.isfinite(stop) else walk.price - stand_in,
    )


def _ask(model: Model, inputs: Arrays, walk: Walk, pairs: Pairs, passage: Passage, deadline: float | None) -> Answered:
    """Every pair by the formula, if the model proves to follow it; else by the model, pair by pair."""
    if "levels" not in model.input_names:
        raise NoSurface(FAILED, "this model does not read target and stop")
    probes, q = _probes(walk, pairs, passage)
    if not len(q):
        raise NoSurface(LOW_QUALITY, "in no pair are target and stop on the two sides of the price")
    shift = fit_shift(q, _run(model, inputs, probes, deadline))
    if shift is not None:
        return Answered(shift.of(passage.p), shift.learned, by_formula=True)
    if len(pairs.targets) - 1 > MOST_ASKED:
        raise NoSurface(
            FAILED, f"this model reads levels in its own way and is asked pair by pair: at most {MOST_ASKED} pairs"
        )
    return Answered(_run(model, inputs, pairs, deadline), learned=True, by_formula=False)


def _probes(walk: Walk, pairs: Pairs, passage: Passage) -> tuple[Pairs, Floats]:
    """Up to twelve pairs for which the model itself is asked, and their first passage, all defined.

    Ten are spread evenly over those asked about, the drawn one among them; two are near, where float32 tells much.
    """
    defined = np.flatnonzero(np.isfinite(passage.p[:, 0]))
    evenly = np.unique(np.linspace(0, len(defined) - 1, min(10, len(defined))).astype(int))
    some = pairs.take(defined[evenly])
    near = walk.level(walk.spread * _NEAR[:, 0], 1), walk.level(walk.spread * _NEAR[:, 1], -1)
    probes = Pairs(*(np.concatenate(both) for both in zip(near, some, strict=True)))
    q = walk.passage(*probes).p
    good: NDArray[np.bool_] = np.isfinite(q[:, 0])
    return probes.take(good), q[good]


def _run(model: Model, inputs: Arrays, pairs: Pairs, deadline: float | None) -> Floats:
    """What the model says of one pattern with other levels, [P, 3]; NaN where it gives no answer."""
    count = len(pairs.targets)
    levels = np.repeat(np.asarray(inputs["levels"], np.float64), count, axis=0)
    levels[:, _TARGET], levels[:, _STOP] = pairs
    feed = {name: levels if name == "levels" else np.repeat(inputs[name], count, axis=0) for name in model.input_names}
    try:
        found = model.run(feed, deadline)
        good = check_outputs(found, count)
    except Exception as error:
        raise NoSurface(FAILED, f"{type(error).__name__}: the model did not answer") from error
    p: Floats = np.where(good[:, None], found["probabilities"].astype(np.float64), np.nan)
    return p


def _best(least: Floats, beyond: NDArray[np.bool_] | None, learned: bool, trust: Trust) -> tuple[int | None, str]:
    """The pair of those asked about [P] that is surely worth most after costs, and why there is one or none."""
    if not learned:
        return None, "the model is first passage alone: every pair is worth the same"
    if not trust.proven:
        return None, "the correction is not surely better than first passage"
    if beyond is None:
        return None, "the model does not say on which pairs it was fitted"
    held = np.where(np.isfinite(least) & ~beyond[: len(least)], least, -np.inf)
    best = int(np.argmax(held))
    if not held[best] > 0:
        return None, "no pair is surely worth its costs"
    return best, "half of the correction is sure, and worth more than the costs"


def _table(column: Floats) -> list[Any]:
    """A line a target, a column a stop; null where a number is absent."""
    rounded: NDArray[Any] = np.round(column, _DIGITS)
    absent = ~np.isfinite(column)
    if absent.any():
        rounded = rounded.astype(object)
        rounded[absent] = None
    return list(rounded.tolist())


def _plain(value: Any) -> float | None:
    return round(float(value), _DIGITS) if np.isfinite(value) else None
