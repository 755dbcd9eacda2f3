"""The features traced into a graph: the same numbers as NumPy, and operators that a model may have."""

from __future__ import annotations

import itertools
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

from db_functions.contract import INPUTS, OPTIONAL_OUTPUTS, WINDOW
from tests.features_compare import (
    COLUMN,
    HORIZON,
    PROJECT,
    Matrix,
    differences,
    features_of,
)
from tests.features_rows import Rows, grid_bars, one_row, real_rows, scaled, with_bars, with_holes
from training.features import FEATURE_NAMES, FEATURES, INPUT_NAMES
from training.features.graph import to_model, trace

MOST_NODES = 600
"""Of the features as ONNX Runtime runs them: a lone row costs by the node."""


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
    model = to_model(HORIZON)
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
    assert "If" not in {node.op_type for node in nodes}


def test_graph_is_lean(graph: Graph, tmp_path: Path) -> None:
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    ort.InferenceSession(graph.model.SerializeToString(), options)
    assert len(onnx.load(options.optimized_model_filepath).graph.node) < MOST_NODES


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
    inputs, features = trace(HORIZON)
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


def test_the_graph_is_never_infinite_either(graph: Graph) -> None:
    rng = np.random.default_rng(54)
    pool = np.array([np.nan, np.inf, -np.inf, 0.0, -1.0, 1.0, 1e-300, 1e300, 1e-8, 1e8])
    rows = {name: rng.choice(pool, values.shape) for name, values in real_rows(300, seed=55).items()}
    rows["bars"] = np.where(rng.random((300, 1, 1)) < 0.5, rng.choice(pool[3:], (300, WINDOW, 5)), rows["bars"])
    rows["detected_at"] = rng.integers(-(2**62), 2**62, 300)
    values = graph.run(rows)
    assert not np.isinf(values).any()


def test_importing_the_features_imports_no_graph_tools() -> None:
    code = (
        "import sys, training.features\n"
        "heavy = {'ndonnx', 'spox', 'onnx', 'sklearn', 'scipy', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
