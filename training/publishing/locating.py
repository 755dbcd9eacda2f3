"""Which step of a classifier does not convert, and why: each is converted alone and asked the same as scikit-learn."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnxruntime as ort
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline

from db_functions.contract import PARITY_TOLERANCE
from db_functions.errors import first_line
from db_functions.golden import largest_difference
from training.errors import NotConvertible
from training.publishing.conversion import children, convert_step, for_converters

_ADVICE: Final = {
    "FunctionTransformer": "fit on the columns that it makes, or add it to training.features",
    "CalibratedClassifierCV": "use method='sigmoid': the converter's isotonic regression does not interpolate",
    "SimpleImputer": "use it without add_indicator",
}
_TREES: Final = "trees that are fitted on NaN convert wrongly: put a SimpleImputer before them"
_OWN: Final = "teach skl2onnx its converter with update_registered_converter, or compute the column as a feature"


@dataclass(frozen=True, slots=True)
class Fault:
    """A step that does not convert: the names that lead to it, its class, what is wrong, and what helps."""

    path: tuple[str, ...]
    kind: str
    reason: str
    advice: str

    def __str__(self) -> str:
        where = " > ".join(self.path) or "the classifier"
        return f"step {where} ({self.kind}) does not convert: {self.reason}" + (
            f"; {self.advice}" if self.advice else ""
        )


def locate(estimator: Any, table: Any, path: tuple[str, ...] = ()) -> Fault | None:
    """The first part that does not convert, or that answers ``table`` otherwise when converted; None if each does.

    Only called when the whole did not convert: a part is blamed for what it does alone.
    """
    if isinstance(estimator, str):
        return None
    for name, part, given in _parts(estimator, table):
        found = locate(part, given, (*path, name))
        if found is not None:
            return found
    if isinstance(estimator, (Pipeline, ColumnTransformer)):
        return None
    reason = _wrong(estimator, table)
    return None if reason is None else Fault(path, type(estimator).__name__, reason, _advice(estimator, table))


def _parts(estimator: Any, table: Any) -> Iterator[tuple[str, Any, Any]]:
    """Each part with its name and what it is given."""
    if isinstance(estimator, Pipeline):
        for name, step in estimator.steps:
            yield name, step, table
            if hasattr(step, "transform"):
                table = step.transform(table)
        return
    if isinstance(estimator, ColumnTransformer):
        for name, step in children(estimator):
            places = estimator._transformer_to_input_indices.get(name, [])
            if not isinstance(step, str) and len(places):
                yield name, step, table.iloc[:, places] if hasattr(table, "iloc") else table[:, places]
        return
    # What stacks answers is given them and not the table.
    yield from ((name, part, table) for name, part in children(estimator) if name != "final_estimator_")


def _wrong(estimator: Any, table: Any) -> str | None:
    try:
        model = convert_step(for_converters(estimator), [("features", _type(table))])
    except NotConvertible as error:
        return str(error)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = _dense(
            (estimator.predict_proba if hasattr(estimator, "predict_proba") else estimator.transform)(table)
        )
    try:
        session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        (given,) = session.run(None, {"features": _values(table)})
    except Exception as error:  # noqa: BLE001 - whatever it raises, the converted step is at fault
        return f"what its converter writes does not run ({first_line(error)})"
    amount = largest_difference({"": wanted}, {"": _dense(given)}).amount
    if amount <= PARITY_TOLERANCE:
        return None
    return f"converted it answers otherwise by {amount:.2g}, {PARITY_TOLERANCE:g} is allowed"


def _advice(estimator: Any, table: Any) -> str:
    kind = type(estimator).__name__
    if kind in _ADVICE:
        return _ADVICE[kind]
    if ("Forest" in kind or "Tree" in kind) and not _texts(table) and np.isnan(_values(table)).any():
        return _TREES
    return "" if type(estimator).__module__.startswith("sklearn.") else _OWN


def _dense(values: Any) -> Any:
    return np.asarray(values.toarray() if hasattr(values, "toarray") else values, np.float64)


def _texts(table: Any) -> bool:
    return hasattr(table, "dtypes") and not all(kind.kind in "fiub" for kind in table.dtypes)


def _type(table: Any) -> Any:
    kind = StringTensorType if _texts(table) else FloatTensorType
    return kind([None, table.shape[1]])


def _values(table: Any) -> Any:
    return np.asarray(table, object if _texts(table) else np.float32)
