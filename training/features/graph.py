"""The features as an ONNX graph, traced from the same code that training runs.

Only the operators of ``ai.onnx`` appear, none of them a loop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import ndonnx
import onnx
import spox

from db_functions.contract import INPUTS, TensorSpec
from training.features import INPUT_NAMES, Array, compute

_TYPES = {"tensor(double)": ndonnx.float64, "tensor(int64)": ndonnx.int64}

Compute: TypeAlias = Callable[..., Array]


def _symbol(spec: TensorSpec) -> ndonnx.Array:
    return ndonnx.argument(shape=("N", *spec.shape), dtype=_TYPES[spec.onnx_type])


def trace(horizon: int, features: Compute = compute) -> tuple[dict[str, ndonnx.Array], ndonnx.Array]:
    """Symbolic inputs by their contract names, and the features that come of them, float64 [N, F].

    ``features`` may compute fewer than all. ``N`` is free. To go on building, take the spox variables:
    ``array.unwrap_spox()``.
    """
    inputs = {name: _symbol(INPUTS[name]) for name in INPUT_NAMES}
    return inputs, features(inputs, ndonnx, horizon)


def to_model(horizon: int, features: Compute = compute) -> onnx.ModelProto:
    """The features alone as a model: those inputs of the contract that they read, ``features`` float64 [N, F] out."""
    inputs, computed = trace(horizon, features)
    return spox.build(
        {name: array.unwrap_spox() for name, array in inputs.items()},
        {"features": computed.unwrap_spox()},
        drop_unused_inputs=True,
    )
