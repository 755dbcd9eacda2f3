"""The same graph in fewer nodes: arithmetic on single columns, done for many columns at once.

Most features end in a little arithmetic on numbers of one row each, and in a graph every node costs as much as its
arithmetic. :func:`lean` takes the end of a graph apart into operations on single columns, [N, 1], puts those of
one kind side by side as [K, N], columns as rows, and writes one node for each such block. No operation is changed, so
its results have the same bits.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from training.features.columns import BY_ELEMENT, BY_PLACE, Column, Columns, levels

_WIDEST: Final = 64


def lean(model: onnx.ModelProto) -> onnx.ModelProto:
    """``model``, with one output [N, F] made of a last ``Concat``, rewritten where that saves nodes.

    Inputs, output and every number stay as they are.
    """
    constants = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
    nodes = list(_without_repeats(model.graph.node, constants))
    shapes = _shapes(model, nodes, constants)
    joined = next((i.output[0] for i in reversed(nodes) if i.op_type == "Concat" and i.output[0] in shapes), "")
    ending = _ending(nodes, shapes, constants, joined)
    if not ending:
        return _assembled(model, nodes, constants)
    columns = Columns(constants, shapes)
    for node in nodes:
        if node.output[0] in ending:
            columns.follow(node)
    written = _Writer(columns).write(joined)
    if len(written.nodes) >= len(ending):
        return _assembled(model, nodes, constants)
    kept = [node for node in nodes if node.output[0] not in ending]
    place = next(i for i, node in enumerate(kept) if joined in node.input)
    return _assembled(model, [*kept[:place], *written.nodes, *kept[place:]], constants | written.constants)


def _without_repeats(nodes: Iterable[onnx.NodeProto], constants: dict[str, NDArray[Any]]) -> Iterable[onnx.NodeProto]:
    """The nodes, without constants (which move to ``constants``) and without repetitions of earlier nodes."""
    first: dict[object, Sequence[str]] = {}
    names: dict[str, str] = {}
    for node in nodes:
        node.input[:] = [names.get(name, name) for name in node.input]
        if node.op_type == "Constant":
            value = helper.get_attribute_value(node.attribute[0])
            values = numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.array(value)
            key: object = (values.dtype.str, values.shape, values.tobytes())
            if key not in first:
                constants[node.output[0]] = values
        else:
            attributes = sorted(item.SerializeToString(deterministic=True) for item in node.attribute)
            key = (node.op_type, *attributes, "", *node.input)
            if key not in first:
                yield node
        names |= zip(node.output, first.setdefault(key, list(node.output)), strict=True)


def _assembled(
    model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto], constants: dict[str, NDArray[Any]]
) -> onnx.ModelProto:
    read = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        nodes,
        model.graph.name,
        model.graph.input,
        model.graph.output,
        [numpy_helper.from_array(values, name) for name, values in constants.items() if name in read],
    )
    return helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)


def _shapes(
    model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto], constants: dict[str, NDArray[Any]]
) -> dict[str, tuple[int, int]]:
    """Element type and K of every tensor [N, K]."""
    graph = onnx.shape_inference.infer_shapes(_assembled(model, nodes, constants), data_prop=True).graph
    shapes = {}
    for item in (*graph.input, *graph.value_info, *graph.output):
        tensor = item.type.tensor_type
        if len(tensor.shape.dim) == 2 and tensor.shape.dim[0].dim_param and tensor.shape.dim[1].dim_value:
            shapes[item.name] = (tensor.elem_type, tensor.shape.dim[1].dim_value)
    return shapes


def _ending(nodes: Sequence[onnx.NodeProto], shapes: Any, constants: Any, output: str) -> set[str]:
    """What is computed column by column, up to the output."""
    ending: set[str] = set()
    blocked: set[str] = set()
    for node in reversed(nodes):
        (name,) = node.output
        known = all(i in shapes or i in constants for i in node.input)
        fits = node.op_type in BY_ELEMENT | BY_PLACE and name in shapes and known and shapes[name][1] <= _WIDEST
        if name == output or (output in ending and fits and name not in blocked):
            ending.add(name)
        else:
            blocked |= set(node.input)
    return ending


class _Writer:
    """Writes columns as nodes over blocks [K, N]."""

    def __init__(self, columns: Columns) -> None:
        self.columns = columns
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, NDArray[Any]] = {}
        self._place: dict[Column, tuple[str, int]] = {}
        self._rows: dict[str, int] = {}
        self._made: dict[object, str] = {}
        self._operands: dict[tuple[Column, ...], str] = {}

    def write(self, output: str) -> _Writer:
        wanted = self.columns.read(output)
        needed = self._needed(wanted)
        self._write_sources([column for column in needed if self.columns.keys[column][0] == "tensor"])
        for level in levels(self.columns, needed):
            self._write_level(level)
        self._node("Transpose", [self._operand(wanted)], name=output, perm=[1, 0])
        return self

    def _needed(self, wanted: Iterable[Column]) -> list[Column]:
        found: set[Column] = set()
        stack = list(wanted)
        while stack:
            column = stack.pop()
            if column not in found:
                found.add(column)
                stack += self.columns.arguments(column)
        return sorted(found)

    def _write_sources(self, sources: list[Column]) -> None:
        by_tensor = defaultdict(list)
        for column in sources:
            by_tensor[self.columns.keys[column][1]].append(column)
        by_type = defaultdict(list)
        for tensor, members in by_tensor.items():
            kind, width = self.columns.shapes[tensor]
            places = [self.columns.keys[column][2] for column in members]
            whole = places == list(range(width))
            part = tensor if whole else self._node("Gather", [tensor, self._constant(np.array(places))], axis=1)
            by_type[kind].append((part, members))
        for parts in by_type.values():
            joined = self._node("Concat", [part for part, _ in parts], axis=1) if len(parts) > 1 else parts[0][0]
            self._put([i for _, members in parts for i in members], self._node("Transpose", [joined], perm=[1, 0]))

    def _write_level(self, level: Sequence[list[Column]]) -> None:
        """Operations that need nothing of each other: their arguments are gathered together."""
        # In the order of the first argument, which then often needs no gathering.
        for members in level:
            members.sort(key=lambda column: [self._place.get(i, ("", 0)) for i in self.columns.arguments(column)])
        given = [list(zip(*map(self.columns.arguments, members), strict=True)) for members in level]
        self._gather({each for block in given for each in block})
        for members, block in zip(level, given, strict=True):
            operation, attributes = self.columns.keys[members[0]][:2]
            name = self._node(operation, [self._operand(each) for each in block])
            self.nodes[-1].attribute.extend(onnx.AttributeProto.FromString(item) for item in attributes)
            self._put(members, name)

    def _gather(self, lists: set[tuple[Column, ...]]) -> None:
        """Make the arguments that lie in several tensors by one node for all of a type."""
        by_type = defaultdict(list)
        for each in sorted(lists):
            if not self.columns.is_constant(each[0]) and len({self._place[i][0] for i in each}) > 1:
                by_type[self.columns.types[each[0]]].append(each)
        for several in by_type.values():
            if len(several) > 1:
                lengths = self._constant(np.array([len(each) for each in several]))
                joined = self._operand([i for each in several for i in each])
                names = [f"block_{len(self.nodes)}_{i}" for i in range(len(several))]
                self.nodes.append(helper.make_node("Split", [joined, lengths], names, axis=0))
                self._operands |= zip(several, names, strict=True)

    def _put(self, members: Sequence[Column], name: str) -> None:
        self._rows[name] = len(members)
        self._place |= {column: (name, row) for row, column in enumerate(members)}

    def _operand(self, members: Sequence[Column]) -> str:
        """A tensor whose rows are these columns: [K, N], or [1, N] or [K, 1] or [1, 1] where that says the same."""
        if tuple(members) in self._operands:
            return self._operands[tuple(members)]
        if len(set(members)) == 1:
            members = members[:1]
        if self.columns.is_constant(members[0]):
            dtype = helper.tensor_dtype_to_np_dtype(self.columns.types[members[0]])
            return self._constant(np.frombuffer(b"".join(self.columns.keys[i][1] for i in members), dtype)[:, None])
        sources = list(dict.fromkeys(self._place[column][0] for column in members))
        if len(sources) == 1:
            return self._picked(sources[0], [self._place[column][1] for column in members])
        base = dict(zip(sources, np.cumsum([0, *(self._rows[name] for name in sources)]).tolist(), strict=False))
        joined = self._node("Concat", sources, axis=0)
        self._rows[joined] = sum(self._rows[name] for name in sources)
        return self._picked(joined, [base[name] + row for name, row in (self._place[column] for column in members)])

    def _picked(self, name: str, rows: list[int]) -> str:
        if rows == list(range(self._rows[name])):
            return name
        return self._node("Gather", [name, self._constant(np.array(rows))], axis=0)

    def _constant(self, values: NDArray[Any]) -> str:
        key = (values.dtype.str, values.shape, values.tobytes())
        name = self._made.setdefault(key, f"block_constant_{len(self._made)}")
        self.constants[name] = values
        return name

    def _node(self, operation: str, given: Sequence[str], name: str | None = None, **attributes: Any) -> str:
        key = (operation, *given, *(str(i) for i in attributes.items()))
        if name is None and key in self._made and operation in ("Gather", "Concat"):
            return self._made[key]
        name = name or f"block_{len(self.nodes)}"
        self._made[key] = name
        self.nodes.append(helper.make_node(operation, given, [name], **attributes))
        return name
