"""The inputs and outputs of an ONNX file, each compared with the contract. The model is not run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import onnx
from google.protobuf.message import DecodeError

from db_functions.contract import OUTPUTS, describe_tensor, input_faults, output_faults
from db_functions.errors import one_line

_FREE_AXIS = "N"


@dataclass(frozen=True, slots=True)
class Line:
    """One tensor of the file, or one that it lacks; ``faults`` is empty when it follows the contract."""

    kind: str
    name: str
    given: str
    faults: tuple[str, ...]


def describe(data: bytes) -> list[Line]:
    """Inputs, outputs and missing outputs; empty when the bytes are not a model."""
    try:
        graph = onnx.load_model_from_string(data).graph
        constants = {tensor.name for tensor in graph.initializer}
        inputs = [item for item in graph.input if item.name not in constants]
        lines = [*_lines("input", inputs, input_faults), *_lines("output", graph.output, output_faults)]
    except (DecodeError, TypeError, AttributeError):
        # Not a model, or names that are not text: ``check`` says which.
        return []
    present = {line.name for line in lines if line.kind == "output"}
    missing = [
        Line("output", name, "missing", (f"output {name!r} is missing; it must be {spec.describe()}",))
        for name, spec in OUTPUTS.items()
        if name not in present
    ]
    return lines + missing


def _type_name(given: onnx.TypeProto) -> str:
    """As ONNX Runtime names it where it is a tensor of a type that ONNX knows."""
    kind = given.WhichOneof("value") or "nothing"
    if kind != "tensor_type":
        return kind.removesuffix("_type")
    try:
        known = onnx.helper.tensor_dtype_to_string(given.tensor_type.elem_type)
    except KeyError:
        return f"tensor(type {given.tensor_type.elem_type})"
    return f"tensor({known.split('.')[-1].lower()})"


def _lines(
    kind: str, items: list[onnx.ValueInfoProto], faults: Callable[[str, str, list[object]], list[str]]
) -> Iterator[Line]:
    for item in items:
        tensor = item.type.tensor_type
        onnx_type = _type_name(item.type)
        shape: list[object] = [
            axis.dim_value if axis.HasField("dim_value") else axis.dim_param or _FREE_AXIS for axis in tensor.shape.dim
        ]
        wrong = faults(item.name, onnx_type, shape)
        yield Line(kind, one_line(item.name), one_line(describe_tensor(onnx_type, shape)), tuple(map(one_line, wrong)))
