"""First passage: the formula against tables, brute force, finite differences and simulation; and bad input."""

from __future__ import annotations

import math

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from db_functions.contract import LEVEL_COLUMNS, WINDOW
from db_functions.passage import passage, two_tails
from tests.features_compare import HORIZON, differences, features_of
from tests.features_rows import Rows, one_row, real_rows, with_bars, with_holes
from tests.first_passage_oracle import corrected, of_row, plain, touching_both
from training.features import (
    FEATURE_NAMES,
    FIRST_PASSAGE_NAMES,
    LEVEL_FREE,
    LEVEL_NAMES,
    compute,
    compute_first_passage,
)
from training.features.graph import to_model

Floats = NDArray[np.float64]
PLAIN = slice(3, 6)


def by_formula(above: Floats, below: Floats, spread: Floats) -> Floats:
    """The plain three, [N, 3]."""
    hits = passage(np.stack([above, below], axis=1), spread[:, None], 1.0, np).hits[:, 0, :2]
    return np.concatenate([hits, 1 - hits.sum(axis=1, keepdims=True)], axis=1)


def first_passage_of(rows: Rows, horizon: int = HORIZON) -> Floats:
    return np.asarray(compute_first_passage(rows, np, horizon))


# -- the formula -----------------------------------------------------------------------------------------------------

SIMULATED = [
    (0.04, 0.02, 0.012, 20, 0.32269, 0.65603, 0.02128),
    (0.02, 0.02, 0.010, 20, 0.49867, 0.49867, 0.00267),
    (0.06, 0.03, 0.010, 20, 0.17242, 0.50154, 0.32604),
    (0.10, 0.01, 0.015, 20, 0.06240, 0.88036, 0.05724),
    (0.02, 0.05, 0.020, 5, 0.64778, 0.21940, 0.13282),
]


@pytest.mark.parametrize(("above", "below", "volatility", "bars", "target", "stop", "neither"), SIMULATED)
def test_formula_gives_the_figures_checked_by_simulation(
    above: float, below: float, volatility: float, bars: int, target: float, stop: float, neither: float
) -> None:
    got = by_formula(*(np.array([x]) for x in (above, below, volatility * math.sqrt(bars))))[0]
    assert np.abs(got - [target, stop, neither]).max() <= 0.5e-5 + 1e-9


def test_two_tails_are_erfc_to_the_last_digits() -> None:
    x = np.concatenate([np.linspace(0, 12, 40_001), np.geomspace(12, 1e300, 200)])
    expected = np.array([math.erfc(value / math.sqrt(2)) for value in x.tolist()])
    assert np.abs(two_tails(x) - expected).max() < 1e-15
    assert two_tails(np.array([0.0])) == 1.0


def random_intervals(count: int, seed: int) -> tuple[Floats, Floats, Floats]:
    """Distances of any proportion, and spreads from a thousandth to a thousand times their sum."""
    rng = np.random.default_rng(seed)
    share = np.where(rng.random(count) < 0.5, rng.random(count), 10.0 ** rng.uniform(-12, 0, count))
    share = np.where(rng.random(count) < 0.5, share, 1 - share)
    length = 10.0 ** rng.uniform(-6, 2, count)
    return length * share, length * (1 - share), length * 10.0 ** rng.uniform(-3, 3, count)


def test_formula_is_exact_at_any_ratio_of_spread_to_distance() -> None:
    above, below, spread = random_intervals(4_000, seed=1)
    # Where series and images meet, and at the ends of what either does.
    edge = np.concatenate([np.sqrt(0.07) * (above + below) * (1 + np.linspace(-0.2, 0.2, 4_000))])
    for spreads in (spread, edge):
        expected = np.array([plain(*row) for row in zip(above.tolist(), below.tolist(), spreads.tolist(), strict=True)])
        assert np.abs(by_formula(above, below, spreads) - expected).max() < 1e-12


def crank_nicolson(above: float, below: float, spread: float) -> tuple[float, float]:
    """P(above first), P(below first) by finite differences of u_t = u_xx / 2, for both ends at once.

    u is 1 at one end, 0 at the other and at the start; four implicit steps smooth that corner (Rannacher, 1984).
    """
    points, steps = 240, 200
    grid = np.linspace(-below, above, points + 1)
    h = grid[1] - grid[0]
    inner = np.zeros((points - 1, 2))
    ends = np.zeros((points - 1, 2))
    ends[-1, 0], ends[0, 1] = 1.0, 1.0
    laplace = (
        np.diag(np.full(points - 2, 1.0), 1) + np.diag(np.full(points - 2, 1.0), -1) - 2 * np.eye(points - 1)
    ) / (2 * h * h)
    ends = ends / (2 * h * h)
    times = [spread**2 / steps / 4] * 4 + [spread**2 / steps] * (steps - 1)
    solvers: dict[tuple[float, float], Floats] = {}
    for i, dt in enumerate(times):
        implicit = 1.0 if i < 4 else 0.5
        key = (implicit, dt)
        if key not in solvers:
            solvers[key] = np.linalg.inv(np.eye(points - 1) - implicit * dt * laplace)
        inner = solvers[key] @ (inner + (1 - implicit) * dt * (laplace @ inner) + dt * ends)
    up = np.concatenate([[[0.0, 1.0]], inner, [[1.0, 0.0]]])
    return float(np.interp(0.0, grid, up[:, 0])), float(np.interp(0.0, grid, up[:, 1]))


def test_formula_solves_the_heat_equation() -> None:
    rng = np.random.default_rng(2)
    for _ in range(6):
        above, below = rng.uniform(0.005, 0.1, 2).tolist()
        spread = float((above + below) * 10 ** rng.uniform(-1, 0.3))
        got = by_formula(*(np.array([x]) for x in (above, below, spread)))[0]
        assert got[:2] == pytest.approx(crank_nicolson(above, below, spread), abs=5e-4)


def test_formula_agrees_with_simulated_walks() -> None:
    rng = np.random.default_rng(3)
    paths, steps = 40_000, 250
    for above, below, spread in ((0.04, 0.02, 0.054), (0.06, 0.03, 0.045), (0.02, 0.05, 0.03)):
        step = spread / math.sqrt(steps)
        # A walk looked at in steps overshoots: its ends are nearer by 0.5826 of a step (Broadie, Glasserman and Kou).
        high, low = above - 0.5826 * step, below - 0.5826 * step
        walk = np.cumsum(rng.normal(0, step, (paths, steps)).astype(np.float32), axis=1)
        up, down = walk >= high, walk <= -low
        first_up = np.where(up.any(axis=1), up.argmax(axis=1), steps)
        first_down = np.where(down.any(axis=1), down.argmax(axis=1), steps)
        seen = [np.mean(first_up < first_down), np.mean(first_down < first_up)]
        got = by_formula(*(np.array([x]) for x in (above, below, spread)))[0, :2]
        assert np.abs(got - seen).max() < 4 * 0.5 / math.sqrt(paths)


def test_share_of_bars_that_touch_both_is_the_mean_of_the_tails() -> None:
    for ratio in (1e-3, 0.1, 0.5, 1.0, 2.0, 4.0, 8.0):
        got = passage(np.array([[0.6 * ratio, 0.4 * ratio]]), np.array([[3.0]]), 1 / 3, np).both[0, 0]
        assert got == pytest.approx(touching_both(ratio, 1.0), abs=1e-9)
    assert passage(np.array([[1.0, 1.0]]), np.array([[1e-3]]), 1.0, np).both[0, 0] < 1e-300


# -- rows ------------------------------------------------------------------------------------------------------------


def walk_rows(size: int, seed: int) -> Rows:
    """Directed rows with levels on their proper sides, so that every one can be labelled."""
    rng = np.random.default_rng(seed)
    rows = real_rows(size, seed)
    direction = rng.choice([-1.0, 1.0], size)
    close = rows["bars"][:, -1, 3]
    levels = np.full((size, 5), np.nan)
    levels[:, 2] = close * np.exp(direction * rng.uniform(0.001, 0.2, size))
    levels[:, 4] = close * np.exp(-direction * rng.uniform(0.001, 0.2, size))
    return {**rows, "direction": direction, "levels": levels}


def moved(rows: Rows, level: str, log_distance: Floats) -> Rows:
    """The same rows with a level at another distance from the last close, on its own side."""
    side = rows["direction"] * (1 if level == "target" else -1)
    levels = rows["levels"].copy()
    levels[:, LEVEL_COLUMNS.index(level)] = rows["bars"][:, -1, 3] * np.exp(side * log_distance)
    return {**rows, "levels": levels}


def unit_sums(values: Floats) -> bool:
    known = values[~np.isnan(values).any(axis=1)]
    sums = [known[:, :3].sum(axis=1), known[:, 3:].sum(axis=1)]
    return bool((known >= 0).all() and (known <= 1).all() and np.abs(np.array(sums) - 1).max(initial=0) < 1e-15)


def test_probabilities_are_in_their_interval_and_add_to_one() -> None:
    values = first_passage_of(with_holes(real_rows(1_000, seed=4), seed=5))
    assert unit_sums(values)
    assert (~np.isnan(values)).all(axis=1).sum() > 400
    assert (np.isnan(values).all(axis=1) | ~np.isnan(values).any(axis=1)).all()


@pytest.mark.parametrize("horizon", [1, 2, 3, 5, 20, 1000])
def test_every_probability_is_monotone_in_both_distances(horizon: int) -> None:
    rng = np.random.default_rng(6)
    rows = walk_rows(3_000, seed=7)
    near = 10.0 ** rng.uniform(-4, 0.5, 3_000)
    # Some steps are tiny, so that neighbours on both sides of every branch are compared.
    far = near * (1 + 10.0 ** rng.uniform(-9, 0.5, 3_000))
    for level, own in (("target", 0), ("stop", 1)):
        name = "stoploss" if level == "stop" else level
        before = first_passage_of(moved(rows, name, near), horizon)
        after = first_passage_of(moved(rows, name, far), horizon)
        for start in (0, 3):
            rises = after[:, start : start + 3] - before[:, start : start + 3]
            assert rises[:, own].max() <= 1e-12, (level, start)
            assert rises[:, 1 - own].min() >= -1e-12, (level, start)
            assert rises[:, 2].min() >= -1e-12, (level, start)


def test_a_level_that_the_price_has_passed_is_certain() -> None:
    rows = walk_rows(200, seed=8)
    close = rows["bars"][:, -1, 3]
    rows["levels"][:, 3] = close * np.exp(-0.05 * rows["direction"])
    rows["levels"][:, 2] = close * np.exp(-0.02 * rows["direction"])
    rows["levels"][:, 4] = close * np.exp(-0.9 * rows["direction"])
    values = first_passage_of(rows)
    assert values[:, PLAIN] == pytest.approx(np.broadcast_to([1.0, 0.0, 0.0], (200, 3)), abs=1e-12)
    assert np.abs(values[:, 0] - 1).max() < 1e-6
    rows["levels"][:, 3] = close * np.exp(0.05 * rows["direction"])
    rows["levels"][:, 2] = close * np.exp(0.9 * rows["direction"])
    rows["levels"][:, 4] = close * np.exp(0.02 * rows["direction"])
    assert first_passage_of(rows) == pytest.approx(np.broadcast_to([0.0, 1.0, 0.0] * 2, (200, 6)), abs=1e-12)


def test_a_stop_at_or_below_zero_is_never_reached() -> None:
    rows = walk_rows(50, seed=9)
    rows["direction"][:] = 1.0
    rows["levels"][:, 2] = rows["bars"][:, -1, 3] * 1.05
    answers = []
    for stop in (-1e300, -1.0, 0.0, 1e-301):
        rows["levels"][:, 4] = stop
        answers.append(first_passage_of(rows))
        assert answers[-1][:, [1, 4]].max() < 1e-300
    for other in answers[1:]:
        np.testing.assert_array_equal(answers[0], other)


UNDEFINED = {
    "no direction": {"direction": 0.0},
    "direction absent": {"direction": np.nan},
    "target on the wrong side": {"target": 0.99},
    "target at the price": {"target": 1.0},
    "stop on the wrong side": {"stoploss": 1.01},
    "stop at the price": {"stoploss": 1.0},
    "entry of zero": {"entry": 0.0},
    "entry below zero": {"entry": -1.0},
    "entry too small": {"entry": 1e-101},
}


@pytest.mark.parametrize("case", UNDEFINED)
def test_where_there_is_no_label_there_is_no_probability(case: str) -> None:
    rows = walk_rows(20, seed=10)
    rows["direction"][:] = 1.0
    close = rows["bars"][:, -1, 3]
    rows["levels"][:, 2], rows["levels"][:, 4] = close * 1.02, close * 0.98
    assert not np.isnan(first_passage_of(rows)).any()
    for name, value in UNDEFINED[case].items():
        if name == "direction":
            rows["direction"][:] = value
        else:
            rows["levels"][:, LEVEL_COLUMNS.index(name)] = value if name == "entry" else close * value
    assert np.isnan(first_passage_of(rows)).all()


def test_few_bars_answer_from_fifteen_on() -> None:
    rows = walk_rows(WINDOW, seed=11)
    for row in range(WINDOW):
        rows["bars"][row, : WINDOW - row - 1] = np.nan
    known = ~np.isnan(first_passage_of(rows))
    assert (known.all(axis=1) == (np.arange(1, WINDOW + 1) >= 15)).all()
    assert not known[:14].any()


def test_constant_prices_tell_nothing() -> None:
    rows = walk_rows(3, seed=12)
    still = with_bars(rows, np.broadcast_to([10.1, 10.1, 10.1, 10.1, 5.0], (3, WINDOW, 5)).copy())
    still["levels"][:, 2], still["levels"][:, 4] = 10.1 + rows["direction"], 10.1 - rows["direction"]
    assert np.isnan(first_passage_of(still)).all()
    # One bar that moved is enough to know something.
    still["bars"][:, 40, 1] = 10.2
    still["bars"][:, 90, 3] = 10.15
    assert not np.isnan(first_passage_of(still)).any()


def test_an_estimate_of_zero_is_left_out() -> None:
    rows = walk_rows(5, seed=13)
    flat = rows["bars"][:, -21, 3][:, None, None] * np.ones((1, 20, 4))
    rows["bars"][:, -20:, :4] = flat
    close = rows["bars"][:, -1, 3]
    rows["levels"][:, 2], rows["levels"][:, 4] = (close * np.exp(sign * 0.03 * rows["direction"]) for sign in (1, -1))
    values = first_passage_of(rows)
    expected = [of_row(rows["bars"][i], rows["levels"][i], rows["direction"][i], HORIZON) for i in range(5)]
    np.testing.assert_allclose(values, expected, atol=1e-10)
    assert (values[:, 5] < 0.999).all()


@pytest.mark.parametrize(("column", "price"), [(2, 0.0), (2, -1.0), (1, 1e100), (1, 1e300)])
def test_history_ends_at_a_bar_whose_price_nothing_can_be_made_of(column: int, price: float) -> None:
    rows = walk_rows(40, seed=14)
    holed = with_bars(rows, rows["bars"].copy())
    holed["bars"][:, 60, :4] = np.nan
    rows["bars"][:, 60, column] = price
    np.testing.assert_array_equal(first_passage_of(rows), first_passage_of(holed))
    rows["bars"][:, -1, column] = price
    assert np.isnan(first_passage_of(rows)).all()


@pytest.mark.parametrize("horizon", [1, 5, 1000])
def test_the_horizon_is_that_of_the_labels(horizon: int) -> None:
    rows = with_holes(walk_rows(60, seed=15), seed=16)
    rows["levels"][:, 3] = np.nan
    expected = [of_row(rows["bars"][i], rows["levels"][i], rows["direction"][i], horizon) for i in range(60)]
    assert np.isfinite(expected).all(axis=1).sum() > 40
    np.testing.assert_allclose(first_passage_of(rows, horizon), expected, atol=1e-10)
    assert (
        differences(np.asarray(compute(rows, np, horizon))[:, -6:], first_passage_of(rows, horizon), 1e-13, 1e-13) == []
    )


def test_correction_is_what_its_three_parts_say() -> None:
    rows = one_row(walk_rows(1, seed=17), 0)
    bars = rows["bars"][0]
    above = abs(math.log(rows["levels"][0, 2] / bars[-1, 3]))
    below = abs(math.log(rows["levels"][0, 4] / bars[-1, 3]))
    got = of_row(bars, rows["levels"][0], rows["direction"][0], HORIZON)
    assert sum(corrected(above, below, 0.01, 0.02, HORIZON)) == pytest.approx(1)
    assert first_passage_of(rows)[0] == pytest.approx(got, abs=1e-10)


def test_level_free_features_read_no_level() -> None:
    rows = real_rows(300, seed=18)
    rng = np.random.default_rng(19)
    other = {
        **rows,
        "levels": np.where(rng.random((300, 5)) < 0.1, np.nan, rows["levels"] * rng.uniform(0.9, 1.1, (300, 5))),
    }
    before, after = features_of(rows), features_of(other)
    moves = ~((before == after) | (np.isnan(before) & np.isnan(after)))
    assert {FEATURE_NAMES[j] for j in np.flatnonzero(moves.any(axis=0))} == set(LEVEL_NAMES)
    assert set(LEVEL_FREE) | set(LEVEL_NAMES) == set(FEATURE_NAMES)
    assert len(LEVEL_FREE) + len(LEVEL_NAMES) == len(FEATURE_NAMES)
    assert FEATURE_NAMES[-6:] == FIRST_PASSAGE_NAMES


# -- the graph -------------------------------------------------------------------------------------------------------


def session(horizon: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return ort.InferenceSession(to_model(horizon, compute_first_passage).SerializeToString(), options)


SESSIONS = {horizon: session(horizon) for horizon in (1, 20, 1000)}


def by_graph(rows: Rows, horizon: int = HORIZON) -> Floats:
    running = SESSIONS[horizon]
    given = {item.name: rows[item.name] for item in running.get_inputs()}
    answer: Floats = running.run(["features"], given)[0]
    return answer


WILD = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([np.nan, 0.0, -0.0, 1.0, 100.0, 1e-300, 1e-100, 1e100, 1e300, -1.0, np.inf, -np.inf, 5e-324]),
)


@st.composite
def bad_rows(draw: st.DrawFn) -> Rows:
    """A sound row in which anything may have been replaced by anything."""
    rows = one_row(walk_rows(1, seed=draw(st.integers(0, 20))), 0)
    bars = rows["bars"].copy()
    bars[0, : draw(st.integers(0, WINDOW))] = np.nan
    for _ in range(draw(st.integers(0, 4))):
        bars[0, draw(st.integers(0, WINDOW - 1)), draw(st.integers(0, 4))] = draw(WILD)
    if draw(st.booleans()):
        bars[0, :, :4] = draw(st.sampled_from([0.0, 1e-300, 1.0, 10.1, 1e99, 1e308]))
    if draw(st.booleans()):
        with np.errstate(over="ignore"):
            bars[0, :, :4] *= draw(st.sampled_from([1e-290, 1e-8, 1e8, 1e96]))
    levels = rows["levels"].copy()
    for i in range(5):
        if draw(st.booleans()):
            levels[0, i] = draw(WILD)
    direction = np.array([draw(st.sampled_from([1.0, -1.0, 0.0, np.nan, np.inf, 1e300, 0.5]))])
    return {**rows, "bars": bars, "levels": levels, "direction": direction}


@settings(max_examples=300, deadline=None, derandomize=True)
@given(rows=bad_rows(), horizon=st.sampled_from([1, 20, 1000]))
def test_bad_input_gets_a_probability_or_none_in_numpy_and_graph_alike(rows: Rows, horizon: int) -> None:
    values = first_passage_of(rows, horizon)
    assert np.isnan(values).all() or not np.isnan(values).any()
    assert unit_sums(values)
    np.testing.assert_allclose(by_graph(rows, horizon), values, atol=1e-12)


@pytest.mark.parametrize("horizon", [1, 20, 1000])
def test_graph_agrees_with_numpy(horizon: int) -> None:
    for rows in (real_rows(300, 20), with_holes(real_rows(300, 21), 22), real_rows(129, 23, range(129))):
        np.testing.assert_allclose(by_graph(rows, horizon), first_passage_of(rows, horizon), atol=1e-13)


def test_graph_reads_only_bars_levels_and_direction() -> None:
    assert {item.name for item in SESSIONS[20].get_inputs()} == {"bars", "levels", "direction"}


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 255])
def test_a_row_has_the_same_bits_in_every_batch(size: int) -> None:
    rows = with_holes(real_rows(258, seed=24), seed=25)
    whole = by_graph(rows)
    parts = [by_graph({name: values[i : i + size] for name, values in rows.items()}) for i in range(0, 258, size)]
    np.testing.assert_array_equal(np.concatenate(parts).view(np.int64), whole.view(np.int64))
