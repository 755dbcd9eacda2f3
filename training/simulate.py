"""How often the choice of a candidate is right, over outcomes drawn from known probabilities.

    python -m training.simulate                        200 runs without an effect: how often first passage is kept
    python -m training.simulate --effect 0.003         200 runs with one: how often it is found
    python -m training.simulate --models gradient_boosting --size 0.5     the ensemble among the candidates, too

Outcomes are drawn from first passage, or from a correction to it whose knowledge is worth ``--effect`` of Brier score,
with the shocks that overlapping windows share (``shocks``). Features are autocorrelated random walks of a few symbols;
:func:`run` takes the rows of any dataset as well.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtr

from db_functions.contract import INPUTS, TensorSpec
from db_functions.progress import bar
from training import blocks, regressors
from training.candidates import choose, forward
from training.correction import CANDIDATES, NEITHER, STOP, TARGET, Rows, directed, log_odds
from training.dataset import Dataset
from training.features import FEATURE_NAMES
from training.learners import Recipe
from training.shocks import Shocks, outcomes, shocks_of
from training.split import Fold, split_by_time

Floats = NDArray[np.float64]

ROWS: Final = 20_000
RUNS: Final = 200
SYMBOLS: Final = 8
BARS: Final = 5_000
HORIZON: Final = 20
_DAY_S: Final = 86_400
_START_S: Final = 1_000_000_000
_PERSISTENCE: Final = 0.95


@dataclass(frozen=True, slots=True)
class Run:
    """What became of one draw: the candidate kept, whether its interval says that it is better, and its regret.

    ``regret`` is the expected Brier score of the kept candidate less that of first passage, by the true probabilities.
    """

    kept: str
    surely_better: bool
    regret: float


@dataclass(frozen=True, slots=True)
class World:
    """Rows with their true probabilities [N, 3], and all that does not change from draw to draw."""

    rows: Rows
    truth: Floats
    shocks: Shocks
    folds: tuple[Fold, ...]
    block: blocks.Block

    @classmethod
    def of(cls, dataset: Dataset, features: Floats, effect: float) -> World:
        """The world of a dataset whose outcomes are ignored; knowing its correction is worth ``effect``."""
        rows = Rows(features, dataset.outcome, blocks.uniqueness(dataset))
        folds = split_by_time(dataset, test_share=0.0).folds
        return cls(rows, _truth(features, effect), shocks_of(dataset), folds, blocks.blocks_of(dataset))


def run(world: World, recipe: Recipe | None, rng: np.random.Generator) -> Run:
    """Draw outcomes, choose a candidate; without a ``recipe`` the ensemble is left out."""
    outcome = outcomes(world.shocks.draw(rng), world.truth)
    rows = Rows(world.rows.features, outcome, world.rows.weight)
    names = CANDIDATES if recipe else CANDIDATES[:-1]
    evidence = forward(rows, world.folds, recipe or Recipe(()), names=names)
    judged = evidence.judged
    choice = choose(evidence, outcome[judged], world.block[judged])
    (entry,) = (one for one in choice.compared if one["name"] == choice.kept)
    high = entry["minus_first_passage"]["high"]
    true = world.truth[judged, 2]
    losses = [float(np.mean((evidence.answers[name][:, 2] - true) ** 2)) for name in (choice.kept, "first_passage")]
    better = choice.kept != "first_passage" and high is not None and high < 0
    return Run(choice.kept, better, losses[0] - losses[1])


def synthetic(rows: int = ROWS, *, seed: int = 0, symbols: int = SYMBOLS, bars: int = BARS) -> tuple[Dataset, Floats]:
    """Patterns of a few symbols on days drawn at random, without bars, and their features [N, F]."""
    rng = np.random.default_rng(seed)
    place = np.sort(rng.integers(0, bars, rows))
    symbol = rng.integers(0, symbols, rows)
    walk = np.empty((bars, symbols, len(FEATURE_NAMES)), np.float32)
    state = rng.standard_normal(walk.shape[1:])
    for day in range(bars):
        shock = np.sqrt(0.3) * rng.standard_normal(walk.shape[2]) + np.sqrt(0.7) * rng.standard_normal(walk.shape[1:])
        state = _PERSISTENCE * state + np.sqrt(1 - _PERSISTENCE**2) * shock
        walk[day] = state
    features = walk[place, symbol].astype(np.float64)
    # All others are about 0 in truth, too.
    features[:, FEATURE_NAMES.index("rsi_14")] = 50 + 10 * features[:, FEATURE_NAMES.index("rsi_14")]
    direction = rng.choice([-1.0, 1.0], rows)
    features[:, FEATURE_NAMES.index("direction")] = direction
    features[:, [TARGET, STOP, NEITHER]] = _first_passage(rng, rows)
    detected_at = _START_S + place.astype(np.int64) * _DAY_S
    end = detected_at + HORIZON * _DAY_S
    inputs = {name: np.broadcast_to(np.zeros((), spec.dtype), (rows, *_lengths(spec))) for name, spec in INPUTS.items()}
    inputs["direction"] = direction
    names = np.array([f"S{number}" for number in symbol], dtype=object)
    outcome = np.zeros(rows, np.int8)
    return Dataset(inputs, outcome, detected_at, end, end, names, names, HORIZON), features


def _lengths(spec: TensorSpec) -> list[int]:
    return [length or 0 for length in spec.shape]


def _first_passage(rng: np.random.Generator, rows: int) -> Floats:
    """Probabilities of target, stop and neither [N, 3] such as levels at swing highs and lows give."""
    above, below = np.exp(rng.normal(0, 0.6, (2, rows)))
    neither = 2 * ndtr(rng.normal(-1.5, 0.6, rows)) / 2
    target = (1 - neither) * below / (above + below)
    return np.stack([target, 1 - neither - target, neither], axis=1)


def _truth(features: Floats, effect: float) -> Floats:
    """First passage, corrected by three directed features so that knowing it is worth ``effect`` of Brier score."""
    q, offset = features[:, TARGET], log_odds(features[:, TARGET], np)
    shape = np.tanh(np.nan_to_num(directed(features, np)[:, [0, 3, 8]]).sum(axis=1))
    low, high = 0.0, 5.0
    for _ in range(50):
        middle = (low + high) / 2
        worth = float(np.mean((expit(offset + middle * shape) - q) ** 2))
        low, high = (middle, high) if worth < effect else (low, middle)
    target = expit(offset + low * shape) if effect else q
    stop = (1 - target) * features[:, STOP] / np.maximum(features[:, STOP] + features[:, NEITHER], 1e-12)
    return np.stack([stop, 1 - target - stop, target], axis=1)


def summary(found: Sequence[Run]) -> str:
    """The figures of many runs, in one line."""
    kept = np.mean([one.kept == "first_passage" for one in found])
    better = np.mean([one.surely_better for one in found])
    regret = np.mean([one.regret for one in found])
    counts = ", ".join(f"{name} {sum(one.kept == name for one in found)}" for name in CANDIDATES)
    return (
        f"{len(found)} runs: first passage kept in {kept:.1%}, another surely better in {better:.1%}, "
        f"expected Brier less first passage's {regret:+.6f} on the average ({counts})"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    options = argparse.ArgumentParser(prog="python -m training.simulate", description=__doc__.splitlines()[0])
    options.add_argument("--runs", type=int, default=RUNS)
    options.add_argument("--rows", type=int, default=ROWS)
    options.add_argument("--effect", type=float, default=0.0, help="of Brier score (default: none)")
    options.add_argument("--models", nargs="*", choices=list(regressors.LEARNERS), default=[], help="of the ensemble")
    options.add_argument("--size", type=float, default=1.0, help="times the trees of each learner")
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args(arguments)
    recipe = Recipe(tuple(given.models), seed=given.seed, size=given.size) if given.models else None
    world = World.of(*synthetic(given.rows, seed=given.seed), given.effect)
    rng = np.random.default_rng(given.seed + 1)
    print(f"{given.rows} rows, mean uniqueness {world.rows.weight:.3f}, {len(np.unique(world.block))} blocks")
    print(summary([run(world, recipe, rng) for _ in bar(range(given.runs), shown=True, desc="runs", unit="run")]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
