"""A classifier as a model: raw inputs to the contract's outputs, by its own library and as one graph."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import ndonnx as ndx
import numpy as np
import onnx
import spox
import spox.opset.ai.onnx.v21 as op
from numpy.typing import NDArray

from db_functions.contract import PARITY_TOLERANCE, Arrays
from db_functions.golden import largest_difference
from db_functions.model import open_session
from training.dataset import Dataset
from training.errors import NotConvertible, ParityFailed
from training.export import to_float32
from training.features.graph import trace
from training.publishing.answers import Classes, ask
from training.publishing.columns import CHUNK, Columns, as_given
from training.publishing.conversion import FEATURES, convert, feeds
from training.publishing.locating import locate


@lru_cache(maxsize=8)
def _traced(horizon: int, names: tuple[str, ...]) -> tuple[dict[str, ndx.Array], ndx.Array]:
    """Tracing takes seconds and is the same for every classifier of the same columns."""
    return trace(horizon, partial(as_given, names=names))


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A fitted classifier, what it reads, what its classes mean, and the label horizon of its features, in bars."""

    classifier: Any
    columns: Columns
    classes: Classes
    horizon: int

    def answer(self, inputs: Arrays) -> dict[str, NDArray[np.float32]]:
        """The contract's outputs for raw ``inputs``, by NumPy and the classifier itself."""
        features = as_given(inputs, np, self.horizon, names=self.columns.features)
        p = ask(self.classifier, self.columns.table(features, inputs))
        probabilities = np.asarray(self.classes.probabilities(p, np), np.float32)
        return {
            "ml_confidence": probabilities[:, 2],
            "probabilities": probabilities,
            "features": to_float32(features),
        }

    def answer_all(self, dataset: Dataset) -> dict[str, NDArray[np.float32]]:
        """:meth:`answer` of a dataset, in chunks that bound memory."""
        parts = [
            self.answer(dataset.take(slice(start, start + CHUNK)).inputs) for start in range(0, len(dataset), CHUNK)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def graph(self, converted: onnx.ModelProto) -> tuple[dict[str, ndx.Array], dict[str, ndx.Array]]:
        """Inputs and outputs, symbolic, with the ``converted`` classifier behind the features."""
        traced, given = _traced(self.horizon, self.columns.features)
        inputs = dict(traced)
        shown = ndx.astype(given, ndx.float32)
        order = self.columns.own_order
        own = shown if order == sorted(order) else ndx.take(shown, ndx.asarray(np.array(order)), axis=1)
        fed = {FEATURES: own.unwrap_spox()}
        for name in self.columns.texts:
            inputs[name] = ndx.argument(shape=("N",), dtype=ndx.utf8)
            fed[name] = op.unsqueeze(inputs[name].unwrap_spox(), op.const(np.array([1])))
        answer = spox.inline(converted)(**fed)[converted.graph.output[0].name]
        p = self.classes.probabilities(ndx.asarray(answer), ndx)
        return inputs, {"ml_confidence": p[:, 2], "probabilities": p, "features": shown}

    def converted(self, table: Any) -> onnx.ModelProto:
        """The classifier as ONNX. Raises NotConvertible, naming the step; ``table`` is tried to find it."""
        try:
            return convert(self.classifier, self.columns)
        except NotConvertible as error:
            raise NotConvertible(str(locate(self.classifier, table) or error)) from error

    def require_alike(self, model: onnx.ModelProto, table: Any) -> None:
        """Raise ParityFailed, naming the step, unless ``model`` answers ``table`` as the classifier does."""
        (given,) = open_session(model.SerializeToString()).run(None, feeds(table, self.columns))
        amount = largest_difference({"": ask(self.classifier, table)}, {"": given}).amount
        if amount > PARITY_TOLERANCE:
            fault = locate(self.classifier, table)
            raise ParityFailed(
                f"converted, the classifier answers otherwise by {amount:.2g} ({PARITY_TOLERANCE:g} is allowed): "
                + (str(fault) if fault else "each step alone converts well, all of them together do not")
            )
