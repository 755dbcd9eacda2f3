"""The features as an ONNX graph, traced from the same code that training runs.

Only the operators of ``ai.onnx`` appear, none of them a loop.
"""

from __future__ import annotations

import ndonnx
import onnx

from db_functions.contract import INPUTS, TensorSpec
from training.features import INPUT_NAMES, compute

_TYPES = {"tensor(double)": ndonnx.float64, "tensor(int64)": ndonnx.int64}


def _symbol(spec: TensorSpec) -> ndonnx.Array:
    return ndonnx.argument(shape=("N", *spec.shape), dtype=_TYPES[spec.onnx_type])


def trace() -> tuple[dict[str, ndonnx.Array], ndonnx.Array]:
    """Symbolic inputs by their contract names, and the features that come of them, float64 [N, F].

    ``N`` is free. To go on building, take the spox variables: ``array.unwrap_spox()``.
    """
    inputs = {name: _symbol(INPUTS[name]) for name in INPUT_NAMES}
    return inputs, compute(inputs, ndonnx)


def to_model() -> onnx.ModelProto:
    """The features alone as a model: the contract's inputs in, ``features`` float64 [N, F] out."""
    inputs, features = trace()
    return ndonnx.build(inputs, {"features": features})
