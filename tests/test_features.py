"""The features against TA-Lib and plain Python, against their own graph, and against what their documentation says."""

from __future__ import annotations

import itertools
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import ndonnx
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from features_oracle import BY_HAND, BY_TALIB, Row
from features_rows import Rows, grid_bars, one_row, real_rows, scaled, with_bars, with_holes
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from db_functions.contract import INPUTS, LEVEL_COLUMNS, OPTIONAL_OUTPUTS, WINDOW
from training.features import FEATURE_NAMES, FEATURES, INPUT_NAMES, MIN_BARS, compute
from training.features.document import render
from training.features.graph import to_model, trace

Matrix = NDArray[np.float64]

RELATIVE = 1e-9
ABSOLUTE = 1e-11
"""Room for values near zero, where TA-Lib's own rounding (some 1e-16 of the price) is all that is left."""
ORACLE = BY_TALIB | BY_HAND
COLUMN = {name: i for i, name in enumerate(FEATURE_NAMES)}
PROJECT = Path(__file__).parent.parent


def features_of(rows: Rows) -> Matrix:
    values: Matrix = compute(rows, np)
    return values


def column(rows: Rows, name: str) -> Matrix:
    return features_of(rows)[:, COLUMN[name]]


def oracle(rows: Rows) -> Matrix:
    """Every feature by the second definition; TA-Lib itself says when a history is too short for it."""
    out = np.full((len(rows["bars"]), len(FEATURES)), np.nan)
    for i in range(len(out)):
        row = Row(rows, i)
        for j, feature in enumerate(FEATURES):
            if row.count >= feature.min_bars or (feature.name in BY_TALIB and row.count):
                out[i, j] = ORACLE[feature.name](row)
    return out


def differences(got: Matrix, expected: Matrix, relative: float, absolute: float) -> list[str]:
    """Which features differ, by name, with the first values that do."""
    alike = np.isclose(got, expected, rtol=relative, atol=absolute, equal_nan=True)
    return [
        f"{FEATURE_NAMES[j]}: {got[i, j]!r} for {expected[i, j]!r} in row {i}, {int((~alike[:, j]).sum())} rows in all"
        for j in np.flatnonzero(~alike.all(axis=0))
        for i in [int(np.argmin(alike[:, j]))]
    ]


# -- the second definition -------------------------------------------------------------------------------------------


def test_every_feature_has_a_second_definition() -> None:
    assert not BY_TALIB.keys() & BY_HAND.keys()
    assert set(ORACLE) == set(FEATURE_NAMES)
    assert len(FEATURES) == len(set(FEATURE_NAMES)) >= 60
    assert {feature.family for feature in FEATURES} == {
        "geometry",
        "technical",
        "price action",
        "market context",
        "history",
    }


def test_full_windows_agree_with_talib() -> None:
    rows = real_rows(400, seed=1)
    assert differences(features_of(rows), oracle(rows), RELATIVE, ABSOLUTE) == []


def test_short_histories_agree_with_talib_on_just_those_bars() -> None:
    rows = real_rows(2 * WINDOW, seed=2, lengths=[*range(1, WINDOW + 1)] * 2)
    assert differences(features_of(rows), oracle(rows), RELATIVE, ABSOLUTE) == []


def test_absent_inputs_agree() -> None:
    rows = with_holes(real_rows(300, seed=3), seed=4)
    expected = oracle(rows)
    assert np.isnan(expected).any(axis=0).sum() > 40
    assert differences(features_of(rows), expected, RELATIVE, ABSOLUTE) == []


def test_ties_agree_where_prices_are_whole() -> None:
    rows = with_bars(real_rows(300, seed=5), grid_bars(300, seed=6))
    rows["levels"] = np.round(rows["bars"][:, -1, 3:4] * np.array([[0.97, 1.03, 1.05, 1.0, 0.98]]))
    expected = oracle(rows)
    # A touch within a quarter of ATR of a whole price never depends on rounding; ATR itself is no such fraction.
    assert differences(features_of(rows), expected, RELATIVE, ABSOLUTE) == []
    highs, lows = rows["bars"][:, 1:, 1] - rows["bars"][:, :-1, 1], rows["bars"][:, :-1, 2] - rows["bars"][:, 1:, 2]
    assert ((highs == lows) & (highs > 0)).any(), "no bar where +DM and -DM tie"


@pytest.mark.parametrize("factor", [1e-8, 1e8])
def test_extreme_prices_agree_with_talib(factor: float) -> None:
    rows = scaled(real_rows(150, seed=7), factor)
    assert differences(features_of(rows), oracle(rows), RELATIVE, ABSOLUTE) == []


def test_a_hole_in_the_bars_ends_the_history() -> None:
    rows = real_rows(60, seed=8)
    holed = {name: values.copy() for name, values in rows.items()}
    holed["bars"][:, 127 - 70, 1] = np.nan
    short = {name: values.copy() for name, values in rows.items()}
    short["bars"][:, : 128 - 70] = np.nan
    np.testing.assert_array_equal(features_of(holed), features_of(short))
    assert differences(features_of(holed), oracle(holed), RELATIVE, ABSOLUTE) == []


FLAT_DIFFERS_FROM_TALIB = {"macd_divergence", "ema_cross"}
"""TA-Lib's averages of equal prices differ by rounding, and these features ask only which is larger."""


@pytest.mark.parametrize("price", [10.0, 10.1, 1e-8 / 3, 1e8 + 0.1])
def test_flat_windows_agree_with_talib(price: float) -> None:
    rows = one_row(real_rows(1, seed=9), 0)
    rows["bars"] = np.broadcast_to([price, price, price, price, 1000.1], (1, WINDOW, 5)).copy()
    got, row = features_of(rows)[0], Row(rows, 0)
    for name, define in BY_TALIB.items():
        expected = 0.0 if name in FLAT_DIFFERS_FROM_TALIB else define(row)
        if name == "bollinger_position":
            expected = 0.5  # TA-Lib's bands are apart by rounding, or not at all
        assert got[COLUMN[name]] == pytest.approx(expected, abs=1e-12, nan_ok=True), name
    for name in ("volatility_ratio", "range_contraction", "fibonacci_retracement", "consolidation"):
        assert math.isnan(got[COLUMN[name]]), name


def test_near_ties_of_typical_prices_are_ties_in_money_flow() -> None:
    rows = real_rows(1, seed=10)
    prices = 20 + np.sin(np.arange(WINDOW) * 1.7)
    prices[-5] = prices[-6]
    tied = with_bars(rows, np.stack([prices] * 4 + [np.full(WINDOW, 1000.0)], axis=1)[None])
    nearly = with_bars(rows, tied["bars"].copy())
    nearly["bars"][0, -5, :4] += 3e-13
    further = with_bars(rows, tied["bars"].copy())
    further["bars"][0, -5, :4] += 3e-12
    for case in (tied, nearly, further):
        assert column(case, "mfi_14")[0] == pytest.approx(ORACLE["mfi_14"](Row(case, 0)), rel=RELATIVE)
    assert column(nearly, "mfi_14")[0] == pytest.approx(column(tied, "mfi_14")[0], rel=1e-9)
    assert abs(column(further, "mfi_14")[0] - column(tied, "mfi_14")[0]) > 1


# -- the graph -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Graph:
    """The features as a model, and a session that runs it."""

    model: onnx.ModelProto
    session: ort.InferenceSession

    def run(self, rows: Rows) -> Matrix:
        names = [given.name for given in self.session.get_inputs()]
        answer: Matrix = self.session.run(["features"], {name: rows[name] for name in names})[0]
        return answer


@pytest.fixture(scope="module")
def graph() -> Graph:
    model = to_model()
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return Graph(model, ort.InferenceSession(model.SerializeToString(), options))


def nodes_of(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """All nodes, those of branches too."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from nodes_of(attribute.g)


def test_graph_has_only_standard_operators_and_no_loop(graph: Graph) -> None:
    nodes = [*nodes_of(graph.model.graph), *itertools.chain.from_iterable(f.node for f in graph.model.functions)]
    assert {node.domain for node in nodes} <= {"", "ai.onnx", "ai.onnx.ml"}
    assert not {node.op_type for node in nodes} & {"Loop", "Scan", "SequenceMap"}
    assert not {node.op_type for node in nodes if node.op_type.startswith("Random")}
    assert "MatMul" in {node.op_type for node in nodes}, "ndonnx puts it in a branch: were the branches looked at?"


def test_graph_has_the_contract_inputs_and_a_free_batch(graph: Graph) -> None:
    assert {given.name for given in graph.session.get_inputs()} == set(INPUT_NAMES) <= set(INPUTS)
    for given_input in graph.session.get_inputs():
        spec = INPUTS[given_input.name]
        assert given_input.type == spec.onnx_type
        assert isinstance(given_input.shape[0], str)
        assert tuple(given_input.shape[1:]) == spec.shape
    (output,) = graph.session.get_outputs()
    assert (output.name, output.type) == (*OPTIONAL_OUTPUTS, "tensor(double)")


def test_trace_gives_symbols_by_contract_name() -> None:
    inputs, features = trace()
    assert set(inputs) == set(INPUT_NAMES)
    assert features.dtype == ndonnx.float64
    assert features.shape[1] == len(FEATURES)


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param(real_rows(256, seed=20), id="full"),
        pytest.param(real_rows(WINDOW + 1, seed=21, lengths=range(WINDOW + 1)), id="short"),
        pytest.param(with_holes(real_rows(256, seed=22), seed=23), id="holes"),
        pytest.param(real_rows(1, seed=24), id="one"),
        pytest.param(scaled(real_rows(64, seed=25), 1e-8), id="tiny prices"),
        pytest.param(scaled(real_rows(64, seed=26), 1e8), id="huge prices"),
        pytest.param(with_bars(real_rows(200, seed=27), grid_bars(200, seed=28)), id="ties"),
    ],
)
def test_graph_agrees_with_numpy(graph: Graph, rows: Rows) -> None:
    assert differences(graph.run(rows), features_of(rows), 1e-12, 1e-12) == []


def test_graph_agrees_where_everything_is_absent(graph: Graph) -> None:
    rows = {
        name: np.full_like(values, np.nan) for name, values in real_rows(3, seed=29).items() if name != "detected_at"
    }
    rows["detected_at"] = np.zeros(3, dtype=np.int64)
    values = features_of(rows)
    assert differences(graph.run(rows), values, 1e-12, 1e-12) == []
    present = {name for name in FEATURE_NAMES if not np.isnan(values[0, COLUMN[name]])}
    assert present == {"hour_sin", "hour_cos", "weekday_sin", "weekday_cos", "direction"}


def test_a_row_does_not_depend_on_its_batch(graph: Graph) -> None:
    rows = with_holes(real_rows(40, seed=30, lengths=range(88, 128)), seed=31)
    # The order of a sum may depend on the size of the batch, in both.
    apart = np.concatenate([graph.run(one_row(rows, i)) for i in range(40)])
    assert differences(apart, graph.run(rows), 1e-12, 1e-12) == []
    apart = np.concatenate([features_of(one_row(rows, i)) for i in range(40)])
    assert differences(apart, features_of(rows), 1e-12, 1e-12) == []


# -- what the documentation says --------------------------------------------------------------------------------------


def test_document_is_up_to_date() -> None:
    assert (PROJECT / "docs" / "features.md").read_text() == render(), (
        "run: python -m training.features > docs/features.md"
    )


def test_document_names_every_feature_in_words() -> None:
    page = render()
    for feature in FEATURES:
        assert f"| `{feature.name}` |" in page
        assert all((feature.formula, feature.source, feature.range, feature.missing)), feature.name


def test_every_feature_varies_and_keeps_its_range() -> None:
    values = features_of(real_rows(2000, seed=40))
    for feature, column_values in zip(FEATURES, values.T, strict=True):
        known = column_values[~np.isnan(column_values)]
        low, high = feature.bounds
        slack = 1e-9 * max(abs(bound) for bound in (low, high, 1.0) if math.isfinite(bound))
        assert len(known) > 1500, feature.name
        assert len(np.unique(known)) > 2, feature.name
        assert known.std() > 1e-4, feature.name
        assert (known >= low - slack).all(), (feature.name, known.min())
        assert (known <= high + slack).all(), (feature.name, known.max())


def test_no_two_features_are_the_same() -> None:
    values = features_of(real_rows(500, seed=41))
    values = values[~np.isnan(values).any(axis=1)]
    assert len(values) > 300
    equal = [
        (FEATURE_NAMES[i], FEATURE_NAMES[j])
        for i, j in itertools.combinations(range(len(FEATURES)), 2)
        if np.allclose(values[:, i], values[:, j])
    ]
    assert equal == []


def test_min_bars_is_exact() -> None:
    for feature in FEATURES:
        if not 0 < feature.min_bars <= WINDOW:
            continue
        lengths = [feature.min_bars - 1, feature.min_bars]
        missing = np.isnan(column(real_rows(20, seed=42, lengths=lengths * 10), feature.name))
        assert missing[0::2].all(), feature.name
        assert not missing[1::2].all(), feature.name


def test_most_features_are_there_at_min_bars() -> None:
    known = ~np.isnan(features_of(real_rows(50, seed=43, lengths=[MIN_BARS] * 50))).all(axis=0)
    assert known.mean() > 0.8


def changed_by(rows: Rows, changed: Rows) -> set[str]:
    before, after = features_of(rows), features_of(changed)
    different = ~((before == after) | (np.isnan(before) & np.isnan(after)))
    return {FEATURE_NAMES[j] for j in np.flatnonzero(different.any(axis=0))}


def test_absent_volume_makes_nan_of_what_uses_it_and_of_nothing_else() -> None:
    rows = real_rows(100, seed=44)
    silent = with_bars(rows, rows["bars"].copy())
    silent["bars"][:, :, 4] = np.nan
    said = {feature.name for feature in FEATURES if "volume" in feature.missing}
    assert changed_by(rows, silent) == said
    assert len(said) >= 8
    assert np.isnan(features_of(silent)[:, [COLUMN[name] for name in said]]).all()


@pytest.mark.parametrize("level", LEVEL_COLUMNS)
def test_an_absent_level_makes_nan_of_what_names_it_and_of_nothing_else(level: str) -> None:
    rows = {**real_rows(200, seed=45)}
    without = {**rows, "levels": rows["levels"].copy()}
    without["levels"][:, LEVEL_COLUMNS.index(level)] = np.nan
    said = {feature.name for feature in FEATURES if level in feature.formula and "level" in feature.missing}
    if level in ("support", "resistance"):
        said |= {"breakout_conviction"}
    assert changed_by(rows, without) == said
    values = features_of(without)
    for name in said - {"breakout_strength", "breakout_conviction"}:
        assert np.isnan(values[:, COLUMN[name]]).all(), name
    # With a direction, only the level on its side is used.
    spared = rows["direction"] == (1 if level == "support" else -1)
    if level in ("support", "resistance"):
        assert not np.isnan(values[spared, COLUMN["breakout_strength"]]).any()
        assert np.isnan(values[~spared, COLUMN["breakout_strength"]]).all()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("rule_confidence", {"rule_confidence"}),
        ("duration_s", {"duration_log"}),
        ("history", {"type_success_rate", "type_count_log"}),
        (
            "market_bars",
            {
                "market_correlation_20",
                "market_correlation_60",
                "market_beta_60",
                "relative_strength_20",
                "relative_strength_60",
                "market_momentum_20",
                "market_agreement_5",
                "market_volatility_20",
            },
        ),
    ],
)
def test_an_absent_input_makes_nan_of_its_own_features(name: str, expected: set[str]) -> None:
    rows = real_rows(50, seed=46)
    without = {**rows, name: np.full_like(rows[name], np.nan)}
    assert changed_by(rows, without) == expected
    assert np.isnan(features_of(without)[:, [COLUMN[each] for each in expected]]).all()


def test_correlation_needs_its_least_number_of_pairs() -> None:
    rows = real_rows(2, seed=47)
    for kept, known in ((46, True), (45, False)):
        thin = {**rows, "market_bars": rows["market_bars"].copy()}
        thin["market_bars"][:, : WINDOW - kept] = np.nan
        assert (~np.isnan(column(thin, "market_correlation_60"))).tolist() == [known] * 2
        assert (~np.isnan(column(thin, "market_beta_60"))).tolist() == [known] * 2


def test_benchmark_bars_before_the_first_bar_are_not_paired() -> None:
    rows = real_rows(100, seed=57, lengths=range(20, 120))
    rows["market_bars"] = real_rows(100, seed=58)["market_bars"]
    got, expected = features_of(rows), oracle(rows)
    assert np.isfinite(got[:, COLUMN["market_beta_60"]]).any()
    assert np.isnan(got[:, COLUMN["market_beta_60"]]).any()
    assert differences(got, expected, RELATIVE, ABSOLUTE) == []


def test_a_negative_duration_counts_as_none() -> None:
    rows = {**real_rows(3, seed=59), "duration_s": np.array([-5.0, 0.0, math.e - 1])}
    assert column(rows, "duration_log") == pytest.approx([0.0, 0.0, 1.0])


def test_absent_direction_is_unknown_direction() -> None:
    rows = real_rows(50, seed=48)
    unknown = {**rows, "direction": np.zeros(50)}
    absent = {**rows, "direction": np.full(50, np.nan)}
    np.testing.assert_array_equal(features_of(absent), features_of(unknown))


def test_only_the_named_inputs_are_read() -> None:
    rows = real_rows(10, seed=49)
    more = {
        **rows,
        "pattern_type": np.array(["x"] * 10, dtype=object),
        "timeframe": np.array(["1d"] * 10, dtype=object),
    }
    np.testing.assert_array_equal(features_of(more), features_of(rows))
    for name in INPUT_NAMES:
        with pytest.raises(KeyError, match=name):
            features_of({key: values for key, values in rows.items() if key != name})


def test_bars_before_the_window_of_an_indicator_do_not_matter() -> None:
    rows = real_rows(50, seed=50)
    older = with_bars(rows, rows["bars"].copy())
    older["bars"][:, :67, :4] *= 1.01
    expected = {feature.name for feature in FEATURES if 0 < feature.min_bars <= 61} - changed_by(rows, older)
    for name in ("stochastic_k", "cci_20", "bollinger_position", "volatility_30", "symmetry_60", "closes_in_a_row"):
        assert name in expected
    assert {"rsi_14", "adx_14", "ema50_distance", "high_age"} & expected == set()


# -- scale and soundness ----------------------------------------------------------------------------------------------


def test_a_power_of_two_changes_nothing_at_all() -> None:
    rows = real_rows(300, seed=51)
    np.testing.assert_array_equal(features_of(scaled(rows, 1024.0)), features_of(rows))


THRESHOLDS = {"support_touches", "resistance_touches", "gap_count_20", "up_fraction_20", "closes_in_a_row"}
"""Counts; a near tie in binary can fall on the other side after a multiplication."""


def test_scale_of_prices_does_not_matter() -> None:
    rows = real_rows(1000, seed=52)
    before, after = features_of(rows), features_of(scaled(rows, 1000.0))
    # A near tie of two moves can flip +DM to -DM; on real prices that is rare, and it is the only exception.
    alike = np.isclose(after, before, rtol=1e-9, atol=ABSOLUTE, equal_nan=True)
    continuous = [name not in THRESHOLDS | {"plus_di", "minus_di", "di_agreement", "adx_14"} for name in FEATURE_NAMES]
    assert differences(after[:, continuous], before[:, continuous], 1e-9, ABSOLUTE) == []
    assert alike.all(axis=1).mean() > 0.98


def test_importing_the_features_imports_no_graph_tools() -> None:
    code = (
        "import sys, training.features\n"
        "heavy = {'ndonnx', 'spox', 'onnx', 'sklearn', 'scipy', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


ANY_FLOAT = st.floats(width=64, allow_nan=True, allow_infinity=True)


def wild_rows(draw: st.DrawFn) -> Rows:
    size = draw(st.integers(1, 3))
    fill = st.sampled_from([np.nan, 0.0, 1.0, 100.0, 1e-300, 1e300, -1.0])
    rows: Rows = {}
    for name in INPUT_NAMES:
        shape = (size, *(length or 1 for length in INPUTS[name].shape))
        if name == "detected_at":
            rows[name] = draw(arrays(np.int64, shape, elements=st.integers(-(2**62), 2**62)))
        else:
            rows[name] = draw(arrays(np.float64, shape, elements=ANY_FLOAT, fill=fill))
    return rows


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.composite(wild_rows)())
def test_nothing_is_ever_infinite(rows: Rows) -> None:
    values = features_of(rows)
    assert values.shape == (len(rows["bars"]), len(FEATURES))
    assert not np.isinf(values).any()


@st.composite
def sound_rows(draw: st.DrawFn) -> Rows:
    """Sound bars at any scale: many equal, some far apart, some without volume."""
    count = draw(st.integers(0, WINDOW))
    scale = draw(st.sampled_from([1e-8, 1.0, 1e8]))
    steps = st.sampled_from([0.0, 0.0, 0.0, 0.01, -0.01, 0.5, -0.3])
    path = np.cumprod(1 + draw(arrays(np.float64, WINDOW, elements=steps)))
    wide = draw(arrays(np.float64, (2, WINDOW), elements=st.sampled_from([0.0, 0.0, 0.001, 0.2])))
    path = path / path[-1] * scale * 100
    volume = draw(arrays(np.float64, WINDOW, elements=st.sampled_from([0.0, 1.0, 1e9, np.nan]), fill=st.just(1.0)))
    bars = np.stack([path, path * (1 + wide[0]), path * (1 - wide[1]), path, volume], axis=1)[None]
    bars[:, : WINDOW - count] = np.nan
    rows = real_rows(1, seed=53)
    rows["levels"] = rows["levels"] / rows["bars"][:, -1:, 3] * scale * 100
    return with_bars(rows, bars)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(rows=sound_rows())
def test_sound_bars_keep_every_range(rows: Rows) -> None:
    values = features_of(rows)[0]
    for feature, value in zip(FEATURES, values, strict=True):
        low, high = feature.bounds
        assert math.isnan(value) or low - 1e-7 <= value <= high + 1e-7, (feature.name, value)


def test_the_graph_is_never_infinite_either(graph: Graph) -> None:
    rng = np.random.default_rng(54)
    pool = np.array([np.nan, np.inf, -np.inf, 0.0, -1.0, 1.0, 1e-300, 1e300, 1e-8, 1e8])
    rows = {name: rng.choice(pool, values.shape) for name, values in real_rows(300, seed=55).items()}
    rows["bars"] = np.where(rng.random((300, 1, 1)) < 0.5, rng.choice(pool[3:], (300, WINDOW, 5)), rows["bars"])
    rows["detected_at"] = rng.integers(-(2**62), 2**62, 300)
    values = graph.run(rows)
    assert not np.isinf(values).any()


def test_too_few_bars_leave_only_what_needs_none() -> None:
    values = features_of(real_rows(15, seed=56, lengths=range(15)))
    known = {FEATURE_NAMES[j] for j in np.flatnonzero(~np.isnan(values[0]))}
    assert known == {feature.name for feature in FEATURES if feature.min_bars == 0} - {
        "risk_reward",
        "entry_risk_fraction",
        "market_momentum_20",
        "market_agreement_5",
        "market_volatility_20",
    }
