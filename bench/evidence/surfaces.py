"""``python -m bench.evidence.surfaces``: pairs of target and stop that no application drew, on the open markets.

Labels for any pair follow from the bars. Measured are the probabilities at one random pair a row, year by year with
what was known before; what the best pair of the past earned later, in multiples of the risk; and how often a model
fitted on simulated bars without drift claims a better pair. The ensemble is left out, to save time.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.evidence.forward import _origins
from bench.evidence.results import Chosen, Driftless, PairScore, save
from bench.evidence.rows import labelled_rows
from bench.markets import MARKETS, OpenMarket, load_market, patterns_with_levels
from db_functions.contract import LEVEL_COLUMNS
from db_functions.walk import Walk
from demo.market import CLOSE, HIGH, LOW, Series
from training import blocks
from training.candidates import choose, forward, refit
from training.correction import CANDIDATES, NEITHER, STOP, TARGET, Fitted, Rows
from training.dataset import NEGATIVE, NEUTRAL, POSITIVE, Dataset
from training.errors import TooFewRows
from training.evaluate import perfect_ece
from training.export import to_float32
from training.features import compute_first_passage
from training.learners import Recipe
from training.metrics import expected_calibration_error
from training.pipeline import require_enough
from training.prepare import compute_features
from training.split import split_by_time

Floats = NDArray[np.float64]

SIMPLE: Final = CANDIDATES[:3]
RUNS: Final = 100
STEPS: Final = (0.4, 0.7, 1.0, 1.5, 2.0, 2.5)
"""Distances of the pairs that one is chosen from, in spreads of the horizon."""
NEAREST: Final = 0.3
FARTHEST: Final = 2.5
"""Of a random pair."""
_TARGET, _ENTRY, _STOP = (LEVEL_COLUMNS.index(name) for name in ("target", "entry", "stoploss"))


class Bars(NamedTuple):
    """Of N rows: the last close and the spread [N], and the log prices of the bars ahead, from that close and in the
    row's direction: the best, the worst and the last of each, [N, horizon].
    """

    close: Floats
    spread: Floats
    best: Floats
    worst: Floats
    last: Floats


class Outcome(NamedTuple):
    """What became of a pair of each row [N]: the class as labels have it, and the gain in multiples of the risk."""

    outcome: NDArray[np.int8]
    gain: Floats


def bars_of(market: OpenMarket, dataset: Dataset) -> Bars:
    ahead = np.stack(
        [
            _ahead(market.series[s], at, dataset.horizon)
            for s, at in zip(dataset.symbol, dataset.detected_at, strict=True)
        ]
    )
    inputs = dataset.inputs
    walks = [
        Walk.of({name: inputs[name][i : i + 1] for name in ("bars", "levels", "direction")}, dataset.horizon)
        for i in range(len(dataset))
    ]
    spread = np.array([np.nan if walk is None else walk.spread for walk in walks])
    close, side = inputs["bars"][:, -1, 3], inputs["direction"][:, None]
    logs = np.log(ahead / close[:, None, None])
    high, low = logs[:, :, 0], logs[:, :, 1]
    best, worst = np.where(side > 0, high, -low), np.where(side > 0, low, -high)
    return Bars(close, spread, best, worst, logs[:, :, 2] * side)


def _ahead(series: Series, at: int, horizon: int) -> Floats:
    """High, low and close of the bars after a moment, [horizon, 3]."""
    start = int(np.searchsorted(series.ts, at, side="right"))
    found: Floats = series.bars[start : start + horizon, [HIGH, LOW, CLOSE]]
    return found


def outcome(bars: Bars, a: Floats, b: Floats) -> Outcome:
    """For distances of target and stop [N]: the stop first where one bar touches both; gains are log prices."""
    horizon = bars.best.shape[1]
    hit, stopped = bars.best >= a[:, None], bars.worst <= -b[:, None]
    first = [np.where(touched.any(axis=1), touched.argmax(axis=1), horizon) for touched in (hit, stopped)]
    found = np.where(first[1] < horizon, NEGATIVE, NEUTRAL)
    found = np.where(first[0] < first[1], POSITIVE, found)
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = np.choose(found, [-np.ones_like(a), bars.last[:, -1] / b, a / b])
    return Outcome(found.astype(np.int8), gain)


class Judged(NamedTuple):
    """Rows of all years [M], by place in the dataset; P(positive) by three at their random pair; the gain of the pair
    chosen; in how many years a correction was surely better than first passage, and how many there were.
    """

    rows: NDArray[np.intp]
    plain: Floats
    corrected: Floats
    champion: Floats
    chosen: Floats
    proven: int
    years: int


class Rest(NamedTuple):
    """A data set without rows whose first passage is undefined: features as drawn and at the random pair [N, F]."""

    dataset: Dataset
    bars: Bars
    features: Floats
    random: Floats
    plain: Floats
    outcome: Outcome
    grid: Floats
    """What each pair of STEPS gained, [N, pairs]."""
    drawn: Floats
    """What the drawn pair gained; NaN where the price has passed one of its levels."""


def prepare(market: OpenMarket, seed: int) -> Rest:
    dataset = labelled_rows(market, patterns_with_levels(market))
    features = compute_features(dataset)
    defined = np.isfinite(features[:, TARGET])
    dataset, features = dataset.take(defined), to_float32(features[defined]).astype(np.float64)
    bars = bars_of(market, dataset)
    reach = bars.spread[:, None] * np.exp(
        np.random.default_rng(seed).uniform(math.log(NEAREST), math.log(FARTHEST), (len(dataset), 2))
    )
    passage = compute_first_passage({**dataset.inputs, "levels": levels_at(dataset, bars, reach)}, np, dataset.horizon)
    random = features.copy()
    random[:, [TARGET, STOP, NEITHER]] = to_float32(passage[:, :3])
    a, b = own_reach(dataset, bars)
    grid = [outcome(bars, i * bars.spread, j * bars.spread).gain for i in STEPS for j in STEPS]
    drawn = np.where((a > 0) & (b > 0), outcome(bars, a, b).gain, np.nan)
    return Rest(dataset, bars, features, random, passage[:, 3], outcome(bars, *reach.T), np.stack(grid, axis=1), drawn)


def levels_at(dataset: Dataset, bars: Bars, reach: Floats) -> Floats:
    """Levels with target and stop at distances [N, 2] from the last close, and no entry."""
    levels, side = dataset.inputs["levels"].copy(), dataset.inputs["direction"]
    levels[:, _ENTRY] = np.nan
    levels[:, _TARGET], levels[:, _STOP] = (
        bars.close * np.exp(side * reach[:, 0]),
        bars.close * np.exp(-side * reach[:, 1]),
    )
    return levels


def own_reach(dataset: Dataset, bars: Bars) -> tuple[Floats, Floats]:
    """The distances of the drawn levels; at or below 0 where the price has passed them, NaN where there is none."""
    levels, side = dataset.inputs["levels"], dataset.inputs["direction"]
    return tuple(side * sign * np.log(levels[:, column] / bars.close) for column, sign in ((_TARGET, 1), (_STOP, -1)))  # type: ignore[return-value]


def judge(rest: Rest, since: int) -> Judged:
    """Every year from ``since`` on with enough rows before it."""
    parts, proven, years = [], 0, 0
    for _, known, asked in _origins(rest.dataset, since):
        with suppress(TooFewRows):
            fitted, sure = fit(rest.dataset.take(known), rest.features[known])
            best = int(np.argmax(rest.grid[known].mean(axis=0)))
            parts.append((asked, fitted.answer(rest.random[asked])[:, POSITIVE], rest.grid[asked, best]))
            proven, years = proven + sure, years + 1
    rows, champion, chosen = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Judged(rows, rest.plain[rows], rest.random[rows, TARGET], champion, chosen, proven, years)


def fit(past: Dataset, features: Floats) -> tuple[Fitted, bool]:
    """What is kept of the simple candidates, and whether it is surely better than first passage. Raises TooFewRows."""
    if len(past) == 0:
        raise TooFewRows("nothing is known yet")
    split, rows, recipe = (
        split_by_time(past, test_share=0.0),
        Rows(features, past.outcome, blocks.uniqueness(past)),
        Recipe(()),
    )
    require_enough(past, split)
    evidence = forward(rows, split.folds, recipe, names=SIMPLE)
    choice = choose(evidence, past.outcome[evidence.judged], blocks.blocks_of(past)[evidence.judged])
    less = next(one["minus_first_passage"] for one in choice.compared if one["name"] == choice.kept)
    # As surface_trust.sql has it.
    sure = choice.kept != "recalibrated" and less["high"] is not None and less["high"] * 1.5 < less["value"] * 0.5
    return refit(rows, split.fit, choice.kept, recipe, ()), sure and less["value"] < 0


def measure(name: str, since: int) -> tuple[list[PairScore], Chosen]:
    """One of the open markets."""
    rest = prepare(load_market(name), seed=0)
    found = judge(rest, since)
    own, block = rest.dataset.take(found.rows), blocks.blocks_of(rest.dataset)[found.rows]
    hit = np.asarray(rest.outcome.outcome[found.rows] == POSITIVE, np.float64)
    scores = []
    for answer in ("plain", "corrected", "champion"):
        p: Floats = getattr(found, answer)
        loss = (p - hit) ** 2
        less = blocks.mean(loss - (found.plain - hit) ** 2, block)
        null = perfect_ece(p, own, seed=0)["high"]
        error, most = expected_calibration_error(p, hit), float(null or np.nan)
        scores.append(PairScore(name, answer, len(p), float(loss.mean()), less.value, *less.interval(), error, most))
    both = np.isfinite(rest.drawn[found.rows])
    chosen, drawn = found.chosen[both], rest.drawn[found.rows][both]
    own_mean, its, more = (blocks.mean(values, block[both]) for values in (drawn, chosen, chosen - drawn))
    return scores, Chosen(
        name, int(both.sum()), own_mean.value, *own_mean.interval(), its.value, *its.interval(), more.value,
        *more.interval(), found.years, found.proven,
    )  # fmt: skip


def simulated(seed: int, symbols: int = 3, days: int = 1000) -> OpenMarket:
    """Bars of geometric Brownian motions without drift in log price: 16 steps a bar, and the extremes between them.

    Those of a Brownian bridge are drawn as in Glasserman, *Monte Carlo Methods in Financial Engineering* (2003), 6.4.
    """
    rng = np.random.default_rng(seed)
    series = {}
    for symbol in (f"S{i}" for i in range(symbols)):
        deviation = rng.uniform(0.008, 0.025) / 4
        steps = rng.normal(0, deviation, (days, 16))
        ends = np.cumsum(steps).reshape(days, 16)
        far = np.sqrt(steps**2 - 2 * deviation**2 * np.log(rng.uniform(size=(2, days, 16))))
        opened, close = np.concatenate([[0.0], ends[:-1, -1]]), ends[:, -1]
        high = np.maximum.reduce([opened, close, (ends + (far[0] - steps) / 2).max(axis=1)])
        low = np.minimum.reduce([opened, close, (ends - (far[1] + steps) / 2).min(axis=1)])
        prices = 100 * np.exp(np.stack([opened, high, low, close], axis=1))
        bars = np.concatenate([prices, rng.uniform(1e6, 2e6, (days, 1))], axis=1)
        series[symbol] = Series(symbol, 1_000_000_000 + 86_400 * np.arange(days), bars)
    return OpenMarket("simulated", "", "", series, None)


def without_drift(runs: int) -> Driftless:
    """How often nothing is claimed after training on simulated bars, and what random pairs gain on them."""
    none, gains, rows = 0, [], 0
    for seed in range(runs):
        rest = prepare(simulated(seed), seed)
        _, sure = fit(rest.dataset, rest.features)
        none += not sure
        rows += len(rest.dataset)
        gains.append(float(rest.outcome.gain.mean()))
    error = 1.96 * float(np.std(gains, ddof=1)) / len(gains) ** 0.5
    mean = float(np.mean(gains))
    return Driftless(runs, rows, none / runs, mean, mean - error, mean + error)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.evidence.surfaces", description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS, help="simulated markets (default: %(default)s)")
    parser.add_argument("--since", type=int, default=2000, help="first year to judge (default: %(default)s)")
    options = parser.parse_args(arguments)
    found = [measure(name, options.since) for name in MARKETS]
    save([score for scores, _ in found for score in scores])
    save([chosen for _, chosen in found])
    save([without_drift(options.runs)])
    from bench.evidence import report  # here, because it loads matplotlib

    report.write()
    return 0


if __name__ == "__main__":
    sys.exit(main())
