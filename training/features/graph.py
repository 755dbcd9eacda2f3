"""The features as an ONNX graph, traced from the same code that training runs.

Only the operators of ``ai.onnx`` appear, none of them a loop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import ndonnx
import onnx
import spox
from spox.opset.ai.onnx.v17 import matmul
from spox.opset.ai.onnx.v20 import reduce_max, reduce_min

from db_functions.contract import INPUTS, TensorSpec
from training.features import INPUT_NAMES, Array, compute
from training.features.lean import lean

_TYPES = {"tensor(double)": ndonnx.float64, "tensor(int64)": ndonnx.int64}


class _Unguarded:
    """``ndonnx`` without its care for empty arrays and NaN in these, which takes several nodes each.

    Ours are not empty, and a row with NaN there has too few bars for whatever reads it.
    """

    def __getattr__(self, name: str) -> Any:
        return getattr(ndonnx, name)

    @staticmethod
    def matmul(x1: Array, x2: Array) -> Array:
        return ndonnx.asarray(matmul(x1.unwrap_spox(), x2.unwrap_spox()))

    @staticmethod
    def max(x: Array, axis: int) -> Array:
        return ndonnx.asarray(reduce_max(x.unwrap_spox(), ndonnx.asarray([axis]).unwrap_spox(), keepdims=0))

    @staticmethod
    def min(x: Array, axis: int) -> Array:
        return ndonnx.asarray(reduce_min(x.unwrap_spox(), ndonnx.asarray([axis]).unwrap_spox(), keepdims=0))


Compute: TypeAlias = Callable[..., Array]


def _symbol(spec: TensorSpec) -> ndonnx.Array:
    return ndonnx.argument(shape=("N", *spec.shape), dtype=_TYPES[spec.onnx_type])


def trace(horizon: int, features: Compute = compute) -> tuple[dict[str, ndonnx.Array], ndonnx.Array]:
    """Symbolic inputs by their contract names, and the features that come of them, float64 [N, F].

    ``features`` may compute fewer than all. ``N`` is free. To go on building, take the spox variables:
    ``array.unwrap_spox()``.
    """
    inputs = _symbols()
    model = to_model(horizon, features)
    read = {item.name: inputs[item.name].unwrap_spox() for item in model.graph.input}
    return inputs, ndonnx.asarray(spox.inline(model)(**read)["features"])


def _symbols() -> dict[str, ndonnx.Array]:
    return {name: _symbol(INPUTS[name]) for name in INPUT_NAMES}


def to_model(horizon: int, features: Compute = compute) -> onnx.ModelProto:
    """The features alone as a model: those inputs of the contract that they read, ``features`` float64 [N, F] out."""
    inputs = _symbols()
    computed = features(inputs, _Unguarded(), horizon)
    model = spox.build(
        {name: array.unwrap_spox() for name, array in inputs.items()},
        {"features": computed.unwrap_spox()},
        drop_unused_inputs=True,
    )
    return lean(model)
