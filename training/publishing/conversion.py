"""A fitted classifier, or one step of it, as ONNX: by skl2onnx, and by onnxmltools for XGBoost and LightGBM."""

from __future__ import annotations

import copy
import importlib
import warnings
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from skl2onnx import convert_sklearn, update_registered_converter
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import VotingClassifier
from sklearn.pipeline import FeatureUnion, Pipeline

from db_functions.errors import one_line
from db_functions.operators import ALLOWED
from training.convert import OPSETS
from training.errors import NotConvertible
from training.publishing import scalers
from training.publishing.columns import Columns

FEATURES: Final = "features"
PROBABILITIES: Final = "probabilities"
_BOOSTERS: Final = {
    "xgboost": ("XGBClassifier", "XGBoostXGBClassifier", "xgboost.operator_converters.XGBoost", "convert_xgboost"),
    "lightgbm": (
        "LGBMClassifier",
        "LightGbmLGBMClassifier",
        "lightgbm.operator_converters.LightGbm",
        "convert_lightgbm",
    ),
}


def convert(estimator: Any, columns: Columns) -> onnx.ModelProto:
    """``features`` float32 [N, F] and each text column [N, 1] to ``probabilities`` float32 [N, classes].

    Features come in the classifier's own order. Raises NotConvertible.
    """
    types: list[tuple[str, Any]] = []
    if columns.features:
        types.append((FEATURES, FloatTensorType([None, len(columns.features)])))
    types += [(name, StringTensorType([None, 1])) for name in columns.texts]
    return convert_step(for_converters(estimator, columns), types)


def convert_step(estimator: Any, types: Sequence[tuple[str, Any]]) -> onnx.ModelProto:
    """A fitted classifier to its ``probabilities``, any other step to its output. Raises NotConvertible."""
    for child in every(estimator):
        _require_booster(child)
    boosters()
    # Only classifiers know the option; it would be refused for a step that has none.
    classifies = hasattr(estimator, "predict_proba")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model: onnx.ModelProto = convert_sklearn(
                estimator,
                name="pipeline",
                initial_types=list(types),
                target_opset=OPSETS,
                options={"zipmap": False} if classifies else None,
                custom_conversion_functions=dict(scalers.CONVERTERS),
                custom_shape_calculators=dict(scalers.SHAPES),
            )
    except Exception as error:  # the converters raise anything
        raise NotConvertible(one_line(str(error))) from error
    refused = [node.op_type for node in model.graph.node if node.op_type not in ALLOWED.get(node.domain, ())]
    if refused:
        raise NotConvertible(f"its converter writes the operator {refused[0]}, which is not served")
    del model.graph.output[:-1]
    return model


def for_converters(estimator: Any, columns: Columns | None = None) -> Any:
    """A copy as the converters want it: columns by number, and votes not stacked side by side.

    ``columns`` are those of the whole classifier; without, an estimator's own order of columns stands.
    """
    copied = copy.deepcopy(estimator)
    for one in every(copied):
        if isinstance(one, VotingClassifier):
            one.flatten_transform = False
        if type(one).__module__.startswith("xgboost."):
            one.get_booster().feature_names = None
        if isinstance(one, ColumnTransformer):
            moved = (
                columns.moved
                if columns and list(getattr(one, "feature_names_in_", ())) == list(columns.names)
                else None
            )
            places = one._transformer_to_input_indices
            one.transformers_ = [
                (name, step, [moved[i] if moved else i for i in places.get(name, [])])
                for name, step, _ in one.transformers_
            ]
    return copied


def children(estimator: Any) -> Iterator[tuple[str, Any]]:
    """The fitted parts of a composite, by name."""
    if isinstance(estimator, Pipeline):
        yield from estimator.steps
    elif isinstance(estimator, ColumnTransformer):
        yield from ((name, step) for name, step, _ in estimator.transformers_)
    elif isinstance(estimator, FeatureUnion):
        yield from estimator.transformer_list
    elif hasattr(estimator, "best_estimator_"):
        yield "best_estimator_", estimator.best_estimator_
    elif hasattr(estimator, "calibrated_classifiers_"):
        yield from (("estimator", one.estimator) for one in estimator.calibrated_classifiers_)
    elif isinstance(getattr(estimator, "named_estimators_", None), dict):
        yield from estimator.named_estimators_.items()
        if hasattr(estimator, "final_estimator_"):
            yield "final_estimator_", estimator.final_estimator_


def every(estimator: Any) -> Iterator[Any]:
    """The estimator and all its parts; ``passthrough`` and ``drop`` are none."""
    if isinstance(estimator, str) or estimator is None:
        return
    yield estimator
    for _, child in children(estimator):
        yield from every(child)


@cache
def boosters() -> tuple[str, ...]:
    """Tell skl2onnx the converters of the boosting libraries that are installed; their names."""
    found = []
    for library, (kind, alias, module, function) in _BOOSTERS.items():
        if find_spec(library) is None or find_spec("onnxmltools") is None:
            continue
        update_registered_converter(
            getattr(importlib.import_module(library), kind),
            alias,
            calculate_linear_classifier_output_shapes,
            getattr(importlib.import_module(f"onnxmltools.convert.{module}"), function),
            options={"nocl": [True, False], "zipmap": [True, False, "columns"]},
        )
        found.append(library)
    return tuple(found)


def _require_booster(estimator: Any) -> None:
    library = type(estimator).__module__.partition(".")[0]
    if library in _BOOSTERS and library not in boosters():
        raise NotConvertible(f"it needs onnxmltools; install it with `pip install 'pattern-scoring[{library}]'`")


def feeds(table: Any, columns: Columns) -> dict[str, NDArray[Any]]:
    """``table`` as :func:`convert` names its inputs."""
    if not columns.framed:
        return {FEATURES: np.asarray(table, np.float32)}
    own = [name for name in columns.names if name not in columns.texts]
    found: dict[str, NDArray[Any]] = {FEATURES: table[own].to_numpy(np.float32)} if own else {}
    return found | {name: table[[name]].to_numpy(object) for name in columns.texts}
