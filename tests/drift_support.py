"""A small model with features that drift, what it saw in training, and live rows for it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper
from psycopg.types.json import Jsonb

from db_functions.database import Connection
from tests.support import FITTED_LONG_AGO, at, insert_pattern, small_model
from training.baseline import drift_baseline

FEATURED = ["support", "entry", "inverse_gap", "beyond_103"]
IMPORTANCES = {"support": 0.5, "entry": 0.1, "beyond_103": -0.01}


def featured_model(version: str) -> bytes:
    """The small model with features of its row: support, entry, 1 / (entry - 100), whether entry is above 103."""
    model = onnx.load_from_string(small_model(version))
    graph = model.graph
    del graph.node[next(i for i, node in enumerate(graph.node) if "features" in node.output)]
    graph.input.append(helper.make_tensor_value_info("levels", TensorProto.DOUBLE, ["N", 5]))
    constants = {
        "support_at": np.array([0]),
        "entry_at": np.array([3]),
        "hundred": np.float64(100),
        "far": np.float64(103),
    }
    graph.initializer.extend(onnx.numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items())
    graph.node.extend(
        [
            helper.make_node("Gather", ["levels", "support_at"], ["support"], axis=1),
            helper.make_node("Gather", ["levels", "entry_at"], ["entry"], axis=1),
            helper.make_node("Sub", ["entry", "hundred"], ["difference"]),
            helper.make_node("Reciprocal", ["difference"], ["reciprocal"]),
            helper.make_node("Greater", ["entry", "far"], ["is_far"]),
            helper.make_node("Cast", ["is_far"], ["rare"], to=TensorProto.DOUBLE),
            helper.make_node("Concat", ["support", "entry", "reciprocal", "rare"], ["all"], axis=1),
            helper.make_node("Cast", ["all"], ["features"], to=TensorProto.FLOAT),
        ]
    )
    next(output for output in graph.output if output.name == "features").type.tensor_type.shape.dim[1].dim_value = 4
    next(item for item in model.metadata_props if item.key == "feature_names").value = json.dumps(FEATURED)
    data: bytes = model.SerializeToString()
    return data


def training_rows() -> tuple[NDArray[np.float32], NDArray[Any]]:
    """Features [900, 4] and pattern types [900]; a ninth of the supports is missing."""
    rng = np.random.default_rng(4)
    columns = [rng.normal(90, 3, 900), rng.normal(101, 1, 900), rng.normal(0, 2, 900), rng.random(900) < 0.02]
    features = np.stack(columns, axis=1).astype(np.float32)
    features[:100, 0] = np.nan
    return features, rng.choice(["flag", "wedge", "gone"], 900).astype(object)


def featured_baseline() -> dict[str, Any]:
    features, types = training_rows()
    answers = np.tile(np.array([[0.3, 0.3, 0.4]], np.float32), (300, 1))
    texts = {"pattern_type": types, "timeframe": np.array(["1d"] * 900, dtype=object)}
    return drift_baseline(features, FEATURED, texts, answers)


def register_featured(connection: Connection, version: str, baseline: dict[str, Any] | None) -> None:
    connection.execute(
        "select ml_internal.register_model(%s, 'test', %s, 1, '{bars,history,levels}', "
        "'{ml_confidence,probabilities,features}', %s, 5, %s, '', '{}', %s, null)",
        [
            version,
            featured_model(version),
            FEATURED,
            Jsonb(FITTED_LONG_AGO | {"importances": IMPORTANCES}),
            Jsonb(baseline),
        ],
    )
    connection.execute("select ml_internal.record_parity(%s, 0, 1e-5, 8, 'test')", [version])
    connection.execute("select ml.promote(%s, 'test', true)", [version])


def insert_rows(connection: Connection, entries: Sequence[float] | NDArray[np.float64], seed: int) -> None:
    rng = np.random.default_rng(seed)
    with connection.transaction():
        for entry in entries:
            insert_pattern(
                connection,
                entry=round(float(entry), 2),
                target=200.0,
                stoploss=50.0,
                support=None if rng.random() < 0.2 else round(float(rng.normal(90, 3)), 2),
                pattern_type=str(rng.choice(["flag", "wedge", "new"], p=[0.6, 0.3, 0.1])),
                detected_at=at(int(rng.integers(20, 190))),
            )
