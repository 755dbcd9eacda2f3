"""Surfaces: the walk of a row equals the graph's features, every model's correction is read from a few answers."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from db_functions.passage import _MEANS
from db_functions.surface import EXACT, Shift, fit_shift, outside, read_ranges, values
from db_functions.walk import Walk
from tests.features_rows import real_rows
from training.correction import Line, log_odds
from training.features import compute_first_passage
from training.first_passage import example_inputs

Floats = NDArray[np.float64]
HORIZON = 20


def rows_of(inputs: dict[str, NDArray[np.float64]]) -> Iterator[dict[str, NDArray[np.float64]]]:
    for i in range(len(inputs["direction"])):
        yield {name: values[i : i + 1] for name, values in inputs.items()}


def drawn(walk: Walk, levels: Floats) -> tuple[Floats, Floats]:
    """Target and stop of a row, stand-ins where absent."""
    stands = walk.price + walk.side * walk.reach, walk.price - walk.side * walk.reach
    found = (level if math.isfinite(level) else stand for level, stand in zip(levels[[2, 4]], stands, strict=True))
    target, stop = (np.array([level]) for level in found)
    return target, stop


def random_walks(count: int) -> list[Walk]:
    found = (Walk.of(row, HORIZON) for row in rows_of(example_inputs(2 * count)))
    return [walk for walk in found if walk is not None][:count]


def grid(walk: Walk, size: int) -> tuple[Floats, Floats, Floats]:
    """Distances [size], and all pairs of targets and stops [size^2]."""
    steps = walk.spread * np.linspace(0.01, 6, size)
    targets, stops = np.meshgrid(walk.level(steps, 1), walk.level(steps, -1), indexing="ij")
    return steps, targets.ravel(), stops.ravel()


@pytest.mark.parametrize("horizon", [1, 20, 400])
def test_a_row_has_the_first_passage_of_its_features(horizon: int) -> None:
    inputs = example_inputs(200)
    expected = compute_first_passage(inputs, np, horizon)
    compared = 0
    for row, wanted in zip(rows_of(inputs), expected, strict=True):
        walk = Walk.of(row, horizon)
        if walk is None:
            assert np.isnan(wanted).all()
            continue
        (got,) = walk.passage(*drawn(walk, row["levels"][0])).p
        np.testing.assert_allclose(got, wanted[[1, 2, 0]], atol=1e-11)
        compared += np.isfinite(got).all()
    assert compared > 100


def test_real_rows_too() -> None:
    rows = real_rows(60, seed=4)
    expected = compute_first_passage(rows, np, HORIZON)
    for row, wanted in zip(rows_of(rows), expected, strict=True):
        walk = Walk.of(row, HORIZON)
        if walk is not None:
            np.testing.assert_allclose(walk.passage(*drawn(walk, row["levels"][0])).p[0], wanted[[1, 2, 0]], atol=1e-11)


CORRECTIONS = {
    "first_passage": Shift(),
    "ridge": Shift(-0.3),
    "recalibrated": Shift(0.05, -0.2),
    "strong": Shift(1.5),
}


@pytest.mark.parametrize("wanted", CORRECTIONS.values(), ids=CORRECTIONS)
def test_a_correction_is_read_from_its_answers(wanted: Shift) -> None:
    (walk,) = random_walks(1)
    _, targets, stops = grid(walk, 5)
    q = walk.passage(targets, stops).p
    line = Line(wanted.intercept, wanted.slope, 0.0)
    both = log_odds(np.stack([q[:, 2], 1 - q[:, 0]], axis=1), np)
    target, not_stopped = (1 / (1 + np.exp(-(both + line.of(both))))).T
    p = np.stack([1 - not_stopped, not_stopped - target, target], axis=1).astype(np.float32).astype(np.float64)
    found = fit_shift(q, p if wanted.learned else q.astype(np.float32).astype(np.float64))
    assert found is not None
    assert found.learned == wanted.learned
    assert np.abs(found.of(q) - p).max() < 1e-6


def test_another_kind_of_model_is_told_apart() -> None:
    (walk,) = random_walks(1)
    _, targets, stops = grid(walk, 5)
    q = walk.passage(targets, stops).p
    p = Shift(0.2).of(q)
    p[7, 2] += 3 * EXACT
    assert fit_shift(q, p) is None
    assert fit_shift(q, np.full_like(q, 1 / 3)) is None
    assert fit_shift(q, np.full_like(q, np.nan)) is None


@pytest.mark.parametrize("count", [60, pytest.param(10_000, marks=pytest.mark.slow)])
def test_surfaces_fall_with_the_target_and_rise_with_the_stop(count: int) -> None:
    rng = np.random.default_rng(8)
    for walk in random_walks(count):
        _, targets, stops = grid(walk, 16)
        shift = Shift(rng.normal(0, 0.5), rng.uniform(-0.5, 0.3))
        for p in (q := walk.passage(targets, stops).p, shift.of(q)):
            stop, _, target = p.reshape(16, 16, 3).transpose(2, 0, 1)
            defined = np.isfinite(target)
            for surface, axis, sign in ((target, 0, -1), (target, 1, 1), (stop, 0, 1), (stop, 1, -1)):
                steps = sign * np.diff(surface, axis=axis)
                assert np.nanmin(steps, initial=0) > -1e-11
            assert np.abs(p.sum(axis=1)[defined.ravel()] - 1).max(initial=0) < 1e-9


def test_a_walk_without_drift_is_worth_its_costs() -> None:
    for walk in random_walks(20):
        _, targets, stops = grid(walk, 9)
        passage = walk.passage(targets, stops)
        a, b = passage.distances.T
        defined = np.isfinite(passage.p).all(axis=1)
        np.testing.assert_array_equal(values(passage, passage.p, 0).expected[defined], 0)
        np.testing.assert_allclose(values(passage, passage.p, 10).expected[defined], -0.001 / b[defined])
        assert ((passage.middle >= -b) & (passage.middle <= a)).all()
        better = values(passage, Shift(0.1).of(passage.p), 0)
        assert np.nanmin(better.expected, initial=0) > -1e-6
        assert np.nanmax(better.least - better.expected, initial=0) < 1e-6


def test_neither_closes_where_a_simulated_walk_does() -> None:
    rng = np.random.default_rng(2)
    bars = np.full((128, 5), 100.0)
    bars[:, 3] *= np.exp(np.cumsum(rng.normal(0, 0.01, 128)))
    bars[:, 0] = np.concatenate([[100.0], bars[:-1, 3]])
    bars[:, 1], bars[:, 2] = bars[:, [0, 3]].max(axis=1), bars[:, [0, 3]].min(axis=1)
    walk = Walk.of({"bars": bars[None], "direction": np.ones(1), "levels": np.full((1, 5), np.nan)}, HORIZON)
    assert walk is not None
    a, b = 1.2 * walk.spread, 0.7 * walk.spread
    passage = walk.passage(*(walk.level(np.array([x]), sign) for x, sign in ((a, 1), (b, -1))))
    # The same mixture of volatilities as served.
    paths = 40_000
    spread = rng.choice(walk.spreads[0, 1:], paths, p=_MEANS[1, 1:] / _MEANS[1, 1:].sum())
    steps = 400
    place, alive = np.zeros(paths), np.ones(paths, bool)
    for _ in range(steps):
        sd = spread / math.sqrt(steps)
        before, place = place, np.where(alive, place + rng.normal(0, 1, paths) * sd, place)
        # Touched between two steps: the Brownian bridge.
        for level, sign in ((a, 1), (b, -1)):
            near, far = level - sign * before, level - sign * place
            alive &= (far > 0) & ~(rng.random(paths) < np.exp(-2 * np.maximum(near * far, 0) / sd**2))
    assert place[alive].mean() == pytest.approx(passage.middle[0], abs=4 * place[alive].std() / alive.sum() ** 0.5)


def test_pairs_beyond_the_rows_fitted_on_are_told() -> None:
    feature = {"least": 0.2, "most": 0.6}
    baseline = {"features": {"first_passage_target": feature, "first_passage_stop": feature}}
    q = np.array([[0.3, 0.3, 0.4], [0.1, 0.5, 0.4], [0.5, 0.4, 0.1]])
    assert outside(q, read_ranges(baseline)).tolist() == [False, True, True]  # type: ignore[union-attr]
    assert outside(q, read_ranges(None)) is None
    assert outside(q, read_ranges({"features": {"first_passage_target": {"edges": []}}})) is None
