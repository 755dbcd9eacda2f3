"""The part of an ONNX graph that follows its features, as a function of any mixture of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from db_functions.errors import one_line
from db_functions.model import open_session
from training.errors import NotExplainable
from training.export import names_read

Rows = NDArray[np.float32]
Answer = Callable[[Rows], list[NDArray[Any]]]

SAME: Final = ("Identity", "Cast")
"""Operators that change nothing but a tensor's type."""
_ENTRY: Final = "recorded features"


class FeatureGraph:
    """A model's graph, as a function of its output ``features``.

    Raises NotExplainable when it has no such output.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model = model
        self._producer = {name: node for node in model.graph.node for name in node.output}
        self._constants = {tensor.name: tensor for tensor in model.graph.initializer}
        output = next((item for item in model.graph.output if item.name == "features"), None)
        if output is None:
            raise NotExplainable("the model shows no features, so its scores cannot be attributed")
        self.width = output.type.tensor_type.shape.dim[1].dim_value
        self._entries = set(self.same_as("features"))

    def producer(self, tensor: str) -> onnx.NodeProto | None:
        """The node that produces ``tensor``; None for an input, a constant, and an unknown name."""
        return self._producer.get(tensor)

    def same_as(self, tensor: str) -> Iterator[str]:
        """``tensor`` and the tensors that it was copied or cast from."""
        yield tensor
        node = self.producer(tensor)
        while node is not None and node.op_type in SAME:
            (tensor,) = node.input
            yield tensor
            node = self.producer(tensor)

    def behind(self, tensor: str) -> list[onnx.NodeProto]:
        """The nodes between the features and ``tensor``, in order.

        Raises NotExplainable when ``tensor`` also depends on something else.
        """
        wanted, found = [tensor], set()
        while wanted:
            name = wanted.pop()
            if name in self._entries or name in self._constants or not name:
                continue
            node = self.producer(name)
            if node is None:
                raise NotExplainable(
                    f"the model's answer depends on {name!r} not only through its features, so these alone do not "
                    "explain it"
                )
            if node.output[0] not in found:
                found.add(node.output[0])
                wanted += names_read(node)
        return [node for node in self._model.graph.node if node.output and node.output[0] in found]

    def function(self, *tensors: str) -> Answer:
        """Rows of features [N, F] to the values of ``tensors``. Raises NotExplainable as :meth:`behind` does."""
        nodes = {node.output[0]: node for tensor in tensors for node in self.behind(tensor)}
        kept = [node for node in self._model.graph.node if node.output and node.output[0] in nodes]
        read = {name for node in kept for name in names_read(node)} | set(tensors)
        graph = helper.make_graph(
            [*(self._enter(name) for name in sorted(self._entries & read)), *kept],
            "behind the features",
            [helper.make_tensor_value_info(_ENTRY, TensorProto.FLOAT, ["N", self.width])],
            [helper.make_empty_tensor_value_info(name) for name in tensors],
            [tensor for name, tensor in self._constants.items() if name in read],
        )
        model = helper.make_model(graph, opset_imports=self._model.opset_import, ir_version=self._model.ir_version)
        try:
            session = open_session(model.SerializeToString())
        except Exception as error:
            raise NotExplainable(f"the model cannot be run from its features: {one_line(str(error))}") from error
        names: Sequence[str] = list(tensors)
        return lambda rows: list(session.run(names, {_ENTRY: np.ascontiguousarray(rows, np.float32)}))

    def _enter(self, name: str) -> onnx.NodeProto:
        return helper.make_node("Cast", [_ENTRY], [name], to=self._type_of(name))

    def _type_of(self, name: str) -> int:
        """The type of an entry: that of the cast before it; before all casts float64, like the inputs."""
        node = self.producer(name)
        while node is not None and node.op_type == "Identity":
            node = self.producer(node.input[0])
        if node is not None and node.op_type == "Cast":
            return int(next(attribute.i for attribute in node.attribute if attribute.name == "to"))
        return int(TensorProto.DOUBLE) if name != "features" else int(TensorProto.FLOAT)
