"""The ending of a graph taken apart: operations on single columns, [N, 1], and an order to do them in."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

BY_ELEMENT: Final = frozenset(
    "Abs Add And Cast Div Equal Floor Greater GreaterOrEqual Less LessOrEqual Log Max Min Mul Neg Not Or Sign Sin Sqrt "  # noqa: SIM905
    "Sub Where".split()
)
BY_PLACE: Final = frozenset({"Concat", "Identity", "Slice"})
_TURNED: Final = {"Greater": "Less", "GreaterOrEqual": "LessOrEqual"}

Column: TypeAlias = int
"""The number of a column in :class:`Columns`: equal columns have equal numbers."""
Kind: TypeAlias = tuple[Any, ...]


class Columns:
    """The ending of a graph as operations on single columns; equal ones are one."""

    def __init__(self, constants: dict[str, NDArray[Any]], shapes: dict[str, tuple[int, int]]) -> None:
        self.constants = constants
        self.shapes = shapes
        self.keys: list[tuple[Any, ...]] = []
        self.types: list[int] = []
        self._numbers: dict[tuple[Any, ...], Column] = {}
        self._of: dict[str, list[Column]] = {}

    def read(self, name: str) -> list[Column]:
        """The columns of a tensor, one that repeats for each where it is a scalar."""
        if name not in self._of:
            if name in self.constants:
                flat = self.constants[name].reshape(-1)
                kind = int(helper.np_dtype_to_tensor_dtype(flat.dtype))
                self._of[name] = [self._number(("constant", value.tobytes(), kind), kind) for value in flat]
            else:
                kind, width = self.shapes[name]
                self._of[name] = [self._number(("tensor", name, place), kind) for place in range(width)]
        return self._of[name]

    def follow(self, node: onnx.NodeProto) -> None:
        (name,) = node.output
        if node.op_type in BY_PLACE:
            self._of[name] = self._placed(node)
            return
        given = [self.read(i) for i in node.input]
        width = max(map(len, given))
        attributes = tuple(item.SerializeToString(deterministic=True) for item in node.attribute)
        kind = self.shapes[name][0]
        arguments = zip(*(columns * width if len(columns) == 1 else columns for columns in given), strict=True)
        self._of[name] = [self._operation((node.op_type, attributes, *each), kind) for each in arguments]

    def _placed(self, node: onnx.NodeProto) -> list[Column]:
        given = self.read(node.input[0])
        if node.op_type == "Concat":
            return [column for i in node.input for column in self.read(i)]
        for start, end, axis, step in zip(*(self.constants[i].tolist() for i in node.input[1:]), strict=True):
            given = given[start:end:step] if axis else given
        return given

    def _operation(self, key: tuple[Any, ...], kind: int) -> Column:
        name, attributes, *arguments = key
        if name in _TURNED:
            return self._operation((_TURNED[name], attributes, *reversed(arguments)), kind)
        if name == "Neg":
            return self._number(("Mul", attributes, arguments[0], self._float(-1.0)), kind)
        if name in ("Add", "Mul") and self.is_constant(arguments[0]):
            return self._number((name, attributes, *reversed(arguments)), kind)
        if name == "Where" and self.is_constant(arguments[0]):
            return int(arguments[1 if any(self.keys[arguments[0]][1]) else 2])
        if name == "Div" and arguments[1] == self._float(1.0):
            return int(arguments[0])
        return self._number(key, kind)

    def _float(self, value: float) -> Column:
        kind = int(onnx.TensorProto.DOUBLE)
        return self._number(("constant", np.float64(value).tobytes(), kind), kind)

    def is_constant(self, column: Column) -> bool:
        return bool(self.keys[column][0] == "constant")

    def arguments(self, column: Column) -> tuple[Column, ...]:
        key = self.keys[column]
        return () if key[0] in ("constant", "tensor") else key[2:]

    def _number(self, key: tuple[Any, ...], kind: int) -> Column:
        if key not in self._numbers:
            self._numbers[key] = len(self.keys)
            self.keys.append(key)
            self.types.append(kind)
        return self._numbers[key]


def _kind(columns: Columns, column: Column) -> Kind:
    """What must be equal for two operations to be done by one node."""
    arguments = columns.arguments(column)
    return (*columns.keys[column][:2], *((columns.is_constant(i), columns.types[i]) for i in arguments))


def levels(columns: Columns, needed: Sequence[Column]) -> list[list[list[Column]]]:
    """The operations in an order that leaves few blocks; blocks of one level need nothing of each other."""
    heights: Counter[Column] = Counter()
    for column in reversed(needed):
        for argument in columns.arguments(column):
            heights[argument] = max(heights[argument], heights[column] + 1)
    waiting = {column: _kind(columns, column) for column in needed if columns.arguments(column)}
    found: list[list[list[Column]]] = []
    while waiting:
        ready: defaultdict[Kind, list[Column]] = defaultdict(list)
        # Of each kind, how far from the end its farthest operation is that must wait.
        rest: Counter[Kind] = Counter()
        for column, kind in waiting.items():
            if any(i in waiting for i in columns.arguments(column)):
                rest[kind] = max(rest[kind], heights[column] + 1)
            else:
                ready[kind].append(column)
        # Complete kinds come first, then those of which the rest is much nearer to the end.
        urgency = {kind: (not rest[kind], max(heights[i] for i in ready[kind]) - rest[kind]) for kind in ready}
        block = ready[max(ready, key=lambda kind: urgency[kind])]
        made = {column for other in (found[-1] if found else ()) for column in other}
        if not found or any(i in made for column in block for i in columns.arguments(column)):
            found.append([])
        found[-1].append(block)
        for column in block:
            del waiting[column]
    return found
