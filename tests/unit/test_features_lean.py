"""A graph's arithmetic on single columns, done in blocks: fewer nodes, and not one bit different."""

from __future__ import annotations

import ndonnx
import numpy as np
import onnx
import onnxruntime as ort
import pytest
import spox

from training.features.lean import lean


def model() -> onnx.ModelProto:
    """Features of three kinds over two inputs: chains that meet, a choice, a constant, and one that feeds a sum."""
    given = {name: ndonnx.argument(shape=("N", 4), dtype=ndonnx.float64) for name in ("x", "y")}
    x, y = given.values()
    columns = []
    for i in range(4):
        a, b = x[:, i : i + 1], y[:, i : i + 1]
        columns += [a - b, ndonnx.where(b == 0.0, 0.5, a / b), -a * 2.0, (a + b) * (a > b).astype(ndonnx.float64)]
    early = ndonnx.sum((x * y) - x[:, :1], axis=1, keepdims=True)
    columns += [early, ndonnx.abs(early) / x[:, 3:], 3.0 - early]
    answer = ndonnx.where(y[:, :1] > -1.0, ndonnx.concat(columns, axis=1), np.nan)
    return spox.build({name: array.unwrap_spox() for name, array in given.items()}, {"z": answer.unwrap_spox()})


def nodes(model: onnx.ModelProto) -> int:
    return sum(node.op_type != "Constant" for node in model.graph.node)


@pytest.mark.parametrize("rows", [1, 2, 5, 64])
def test_blocks_have_the_same_bits_in_fewer_nodes(rows: int) -> None:
    rng = np.random.default_rng(rows)
    pool = np.array([0.0, -0.0, 1.5, -3.0, 1e300, np.nan, np.inf, 0.1])
    given = {name: np.where(rng.random((rows, 4)) < 0.5, rng.choice(pool, (rows, 4)), 0.3) for name in ("x", "y")}
    before, after = model(), lean(model())
    onnx.checker.check_model(after, full_check=True)
    assert nodes(after) < nodes(before)
    (expected,), (got,) = (ort.InferenceSession(each.SerializeToString()).run(None, given) for each in (before, after))
    assert got.shape == expected.shape
    np.testing.assert_array_equal(got, expected)
