"""One fitted learner as an ONNX model, by whichever converter knows its library.

Whether the conversion is faithful is not this module's word: the parity gate in ``verify`` compares every member and
the whole.
"""

from __future__ import annotations

import warnings
from typing import Any, Final

import onnx
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType

from db_functions.errors import one_line
from training.errors import NotConvertible
from training.learners import Member

OPSETS: Final = {"": 21, "ai.onnx.ml": 3}
"""Operator sets asked of scikit-learn's converter; the joined graph may carry the newer one that ndonnx writes."""
_OPSET_OF_OTHERS: Final = 15
"""The newest that the converters of XGBoost and LightGBM write."""


def convert(member: Member, width: int) -> onnx.ModelProto:
    """Float32 ``features`` [N, ``width``] to ``probabilities`` [N, classes seen], and nothing else.

    Raises NotConvertible when the converter gives up.
    """
    library = type(member.estimator).__module__.partition(".")[0]
    converter = {"xgboost": _from_xgboost, "lightgbm": _from_lightgbm}.get(library, _from_sklearn)
    try:
        model: onnx.ModelProto = converter(member.estimator, width)
    except Exception as error:
        raise NotConvertible(f"learner {member.name} cannot be converted to ONNX: {one_line(str(error))}") from error
    kept = [output for output in model.graph.output if output.name == "probabilities"]
    del model.graph.output[:]
    model.graph.output.extend(kept)
    return model


def _from_sklearn(estimator: Any, width: int) -> Any:
    with warnings.catch_warnings():
        # The histogram-boosting converter writes booleans as integers; protobuf 7 refuses them, hence the pin below 7.
        warnings.filterwarnings("ignore", "Field onnx.AttributeProto.ints: Expected an int, got a boolean")
        return convert_sklearn(
            estimator,
            name="member",
            initial_types=[("features", FloatTensorType([None, width]))],
            final_types=[("label", Int64TensorType([None])), ("probabilities", FloatTensorType([None, None]))],
            target_opset=OPSETS,
            options={id(estimator): {"zipmap": False}},
        )


def _from_xgboost(estimator: Any, width: int) -> Any:
    from onnxmltools.convert import convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType as Floats

    types = [("features", Floats([None, width]))]
    return convert_xgboost(estimator, name="member", initial_types=types, target_opset=_OPSET_OF_OTHERS)


def _from_lightgbm(estimator: Any, width: int) -> Any:
    from onnxmltools.convert import convert_lightgbm
    from onnxmltools.convert.common.data_types import FloatTensorType as Floats

    types = [("features", Floats([None, width]))]
    return convert_lightgbm(estimator, name="member", initial_types=types, target_opset=_OPSET_OF_OTHERS, zipmap=False)
