"""Scalers in float64, as scikit-learn computes them.

The converter's own Scaler multiplies by a reciprocal in float32: a tree after it puts rows on the other side of a
threshold (measured: 0.025 of probability).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from onnx import TensorProto
from skl2onnx.shape_calculators.scaler import calculate_sklearn_scaler_output_shapes
from sklearn.preprocessing import MaxAbsScaler, RobustScaler, StandardScaler

_CENTRES: Final = {StandardScaler: "mean_", RobustScaler: "center_", MaxAbsScaler: ""}


def _convert(scope: Any, operator: Any, container: Any) -> None:
    """(x - centre) / scale, [N, F]; each step rounds as NumPy's."""
    scaler = operator.raw_operator
    names = [given.full_name for given in operator.inputs]
    if len(names) > 1:
        joined = scope.get_unique_variable_name("joined")
        container.add_node("Concat", names, joined, name=scope.get_unique_operator_name("Concat"), axis=1)
        names = [joined]
    (current,) = names

    def add(kind: str, values: list[str], **attributes: Any) -> str:
        name = scope.get_unique_variable_name("scaled")
        container.add_node(kind, values, name, name=scope.get_unique_operator_name(kind), **attributes)
        return str(name)

    current = add("Cast", [current], to=TensorProto.DOUBLE)
    for kind, attribute in (("Sub", _CENTRES[type(scaler)]), ("Div", "scale_")):
        values = getattr(scaler, attribute, None) if attribute else None
        if values is not None:
            constant = scope.get_unique_variable_name(attribute)
            container.add_initializer(constant, TensorProto.DOUBLE, [len(values)], np.asarray(values, np.float64))
            current = add(kind, [current, constant])
    output = operator.outputs[0].full_name
    container.add_node("Cast", [current], output, name=scope.get_unique_operator_name("Cast"), to=TensorProto.FLOAT)


CONVERTERS: Final[Mapping[type, Any]] = dict.fromkeys(_CENTRES, _convert)
SHAPES: Final[Mapping[type, Any]] = dict.fromkeys(_CENTRES, calculate_sklearn_scaler_output_shapes)
