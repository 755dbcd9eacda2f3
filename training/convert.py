"""One fitted learner as an ONNX model, by whichever converter knows its library.

Whether the conversion is faithful is not this module's word: the parity gate in ``verify`` compares every member and
the whole.
"""

from __future__ import annotations

import warnings
from typing import Any, Final

import numpy as np
import onnx
from onnx import helper, numpy_helper
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType

from db_functions.errors import one_line
from training.errors import NotConvertible
from training.learners import Member

OPSETS: Final = {"": 21, "ai.onnx.ml": 3}
"""Operator sets asked of scikit-learn's converter; the joined graph may carry the newer one that ndonnx writes."""
OUTPUT: Final = "correction"
_OPSET_OF_OTHERS: Final = 15
"""The newest that the converters of XGBoost and LightGBM write."""


def convert(member: Member, width: int) -> onnx.ModelProto:
    """Float32 ``features`` [N, ``width``] to ``correction`` [N, 1], and nothing else.

    Raises NotConvertible when the converter gives up.
    """
    library = type(member.estimator).__module__.partition(".")[0]
    converter = {"xgboost": _from_xgboost, "lightgbm": _from_lightgbm}.get(library, _from_sklearn)
    if member.name == "logistic":
        converter = _from_linear
    try:
        model: onnx.ModelProto = converter(member.estimator, width)
    except Exception as error:
        raise NotConvertible(f"learner {member.name} cannot be converted to ONNX: {one_line(str(error))}") from error
    (answer,) = model.graph.output
    # Each converter has its own name for it.
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = [OUTPUT if name == answer.name else name for name in names]
    answer.name = OUTPUT
    return model


def _from_sklearn(estimator: Any, width: int) -> Any:
    with warnings.catch_warnings():
        # The histogram-boosting converter writes booleans as integers; protobuf 7 refuses them, hence the pin below 7.
        warnings.filterwarnings("ignore", "Field onnx.AttributeProto.ints: Expected an int, got a boolean")
        return convert_sklearn(
            estimator,
            name="member",
            initial_types=[("features", FloatTensorType([None, width]))],
            target_opset=OPSETS,
        )


def _from_linear(estimator: Any, width: int) -> onnx.ModelProto:
    """Scaler and regression as one weighted sum in float64, row by row.

    The converters make a matrix product of it, whose last bits change with the other rows of a batch: a replay would
    not give a score again.
    """
    scaler, regression = (step for _, step in estimator.steps)
    weights = regression.coef_.astype(np.float64) / scaler.scale_
    bias = float(regression.intercept_ - weights @ scaler.mean_)
    nodes = [
        helper.make_node("Cast", ["features"], ["x"], to=onnx.TensorProto.DOUBLE),
        helper.make_node("Mul", ["x", "weights"], ["terms"]),
        helper.make_node("ReduceSum", ["terms", "last"], ["sum"], keepdims=1),
        helper.make_node("Add", ["sum", "bias"], ["exact"]),
        helper.make_node("Cast", ["exact"], ["weighted"], to=onnx.TensorProto.FLOAT),
    ]
    constants = {"last": np.array([1]), "weights": weights[None], "bias": np.array([[bias]])}
    graph = helper.make_graph(
        nodes,
        "member",
        [helper.make_tensor_value_info("features", onnx.TensorProto.FLOAT, ["N", width])],
        [helper.make_tensor_value_info("weighted", onnx.TensorProto.FLOAT, ["N", 1])],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSETS[""])], ir_version=10)


def _from_xgboost(estimator: Any, width: int) -> Any:
    from onnxmltools.convert import convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType as Floats

    types = [("features", Floats([None, width]))]
    return convert_xgboost(estimator, name="member", initial_types=types, target_opset=_OPSET_OF_OTHERS)


def _from_lightgbm(estimator: Any, width: int) -> Any:
    from onnxmltools.convert import convert_lightgbm
    from onnxmltools.convert.common.data_types import FloatTensorType as Floats

    types = [("features", Floats([None, width]))]
    return convert_lightgbm(estimator, name="member", initial_types=types, target_opset=_OPSET_OF_OTHERS)
