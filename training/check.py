"""Whether an ONNX file of any origin may be registered. The file is untrusted.

Faults that can be seen without running the model are found here. Whatever needs ONNX Runtime happens in
:mod:`training.trial`, another process with limits on time and memory: a model of 85 bytes can ask for 6 GB, and a
damaged one can kill the process that loads it.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import onnx
from google.protobuf.message import DecodeError

from db_functions.children import run_child
from db_functions.contract import (
    CONTRACT_VERSION,
    INPUTS,
    META_BACKGROUND,
    META_CONTRACT_VERSION,
    META_FEATURE_NAMES,
    META_MEMBERS,
    META_MIN_BARS,
    META_MODEL_VERSION,
    VERSION,
    VERSION_RULE,
    WINDOW,
    read_training,
)
from db_functions.errors import InvalidModel, one_line
from db_functions.operators import ALLOWED
from db_functions.sandbox import MODEL_BYTES, TRIAL_MEMORY, TRIAL_S
from training.attribution import background
from training.errors import Unreadable

WHY_NOT: Final = {
    **dict.fromkeys(("Loop", "Scan", "SequenceMap"), "it can run forever"),
    **dict.fromkeys(
        (
            "RandomNormal",
            "RandomNormalLike",
            "RandomUniform",
            "RandomUniformLike",
            "Multinomial",
            "Bernoulli",
        ),
        "the same row must always get the same answer",
    ),
}
"""Why operators that people ask for are not on the list of :mod:`db_functions.operators`."""


def read_checked(path: Path, *, max_bytes: int = MODEL_BYTES) -> tuple[bytes, list[str]]:
    """A file's bytes and their faults (:func:`check_model`). Its size is looked at before it is read.

    Read once: a file may change between two readings. Raises Unreadable when there is nothing to judge.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise Unreadable(f"{path} cannot be read: it is not a regular file; name an ONNX file")
        if found.st_size > max_bytes:
            return b"", [_too_large(found.st_size, max_bytes)]
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        raise Unreadable(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    return data, check_model(data, max_bytes=max_bytes)


def check_model(
    data: bytes,
    *,
    max_bytes: int = MODEL_BYTES,
    timeout_s: float = TRIAL_S,
    memory_bytes: int = TRIAL_MEMORY,
) -> list[str]:
    """The faults of a model, each a sentence that says what to do; empty when it may be registered."""
    if len(data) > max_bytes:
        return [_too_large(len(data), max_bytes)]
    try:
        model = onnx.load_model_from_string(data)
    except DecodeError:
        return ["the file is not an ONNX model; export one with `python -m training train` or your own converter"]
    if not model.graph.node:
        return ["the file holds no graph; an ONNX model with at least one node is needed"]
    try:
        faults = [*dict.fromkeys([*_structure_faults(model), *_metadata_faults(model)])]
    except (TypeError, AttributeError):
        # Protobuf gives a name that is not UTF-8 as bytes.
        return ["a name in the file is not UTF-8 text; the file is damaged, so export the model again"]
    # A model that breaks these rules is not run at all. Faults quote names from the file, which may hold anything.
    return [one_line(fault) for fault in faults or _run_trial(data, timeout_s, memory_bytes)]


def require_valid(data: bytes) -> None:
    """Raise InvalidModel listing every fault that :func:`check_model` finds."""
    faults = check_model(data)
    if faults:
        raise InvalidModel("the model does not keep the scoring contract: " + "; ".join(faults))


def _structure_faults(model: onnx.ModelProto) -> Iterator[str]:
    inputs = {item.name for item in model.graph.input} - {tensor.name for tensor in model.graph.initializer}
    if inputs and not inputs & set(INPUTS):
        yield (
            "the model reads columns of its own and no input of the contract, as converters write it; "
            "`training.publish` puts the features in front of a classifier and makes the outputs"
        )
    for output in model.graph.output:
        if output.type.WhichOneof("value") not in ("tensor_type", None):
            yield f"output {output.name!r} is no tensor; convert with skl2onnx's options={{'zipmap': False}}"
    if model.functions:
        yield f"the model defines functions ({model.functions[0].name}, ...); inline them, because they hide operators"
    if model.training_info:
        yield "the model carries training information; export it for inference only"
    for opset in model.opset_import:
        if opset.domain in ("", "ai.onnx") and opset.version > onnx.defs.onnx_opset_version():
            yield (
                f"the model uses operator set {opset.version}; {onnx.defs.onnx_opset_version()} is the newest that "
                f"ONNX {onnx.__version__} knows, so export for that or an older one"
            )
        if opset.domain not in ALLOWED:
            yield (
                f"the model imports the operator domain {opset.domain!r}; only ai.onnx and ai.onnx.ml are served, so "
                "export without custom or runtime-specific operators"
            )
    yield from _graph_faults(model.graph)


def _graph_faults(graph: onnx.GraphProto) -> Iterator[str]:
    for tensor in (*graph.initializer, *(part for s in graph.sparse_initializer for part in (s.values, s.indices))):
        yield from _tensor_faults(tensor)
    for node in graph.node:
        yield from _operator_faults(node)
        for attribute in node.attribute:
            tensors = [attribute.t, *attribute.tensors]
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                tensors += [sparse.values, sparse.indices]
            for tensor in tensors:
                yield from _tensor_faults(tensor)
            for branch in (attribute.g, *attribute.graphs):
                yield from _graph_faults(branch)


def _operator_faults(node: onnx.NodeProto) -> Iterator[str]:
    if node.domain not in ALLOWED:
        yield f"operator {node.op_type} is of the domain {node.domain!r}; only ai.onnx and ai.onnx.ml are served"
    elif not onnx.defs.has(node.op_type, "" if node.domain == "ai.onnx" else node.domain):
        yield f"operator {node.op_type} is not known to ONNX {onnx.__version__}; export for an older operator set"
    elif node.op_type not in ALLOWED[node.domain]:
        why = WHY_NOT.get(node.op_type, "it is not on the list of db_functions/operators.py")
        yield f"operator {node.op_type} is not allowed: {why}; rewrite the model without it"


def _tensor_faults(tensor: onnx.TensorProto) -> Iterator[str]:
    if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
        yield f"tensor {tensor.name!r} keeps its data in another file; save the model with all data inside it"


def _metadata_faults(model: onnx.ModelProto) -> Iterator[str]:
    found = {item.key: item.value for item in model.metadata_props}
    contract = found.get(META_CONTRACT_VERSION)
    if contract != str(CONTRACT_VERSION):
        stated = "does not say its contract version" if contract is None else f"is for contract version {contract!r}"
        yield f"the model {stated}; set metadata {META_CONTRACT_VERSION!r} to '{CONTRACT_VERSION}' if it keeps that one"
    version = found.get(META_MODEL_VERSION, "")
    if not VERSION.fullmatch(version):
        yield f"metadata {META_MODEL_VERSION!r} must name the model in {VERSION_RULE}, not {version[:100]!r}"
    bars = found.get(META_MIN_BARS, "")
    if not bars.isascii() or not bars.isdigit() or not 1 <= int(bars[:9]) <= WINDOW:
        yield f"metadata {META_MIN_BARS!r} must be a whole number from 1 to {WINDOW}, not {bars[:20]!r}"
    try:
        read_training(found)
    except ValueError as error:
        yield f"metadata {error}"
    yield from _feature_name_faults(model, found.get(META_FEATURE_NAMES))
    yield from _attribution_faults(model, found.get(META_BACKGROUND), found.get(META_MEMBERS))


def _attribution_faults(model: onnx.ModelProto, rows: str | None, members: str | None) -> Iterator[str]:
    if rows is not None:
        output = next((item for item in model.graph.output if item.name == "features"), None)
        axes = output.type.tensor_type.shape.dim if output is not None else []
        try:
            background.decode(rows, axes[1].dim_value if len(axes) == 2 else 0)
        except ValueError as error:
            yield f"metadata {META_BACKGROUND!r} must hold rows of the output 'features' as base64: {error}"
    if members is not None:
        try:
            named = json.loads(members)
        except ValueError:
            named = None
        if not isinstance(named, dict) or not all(isinstance(tensor, str) for tensor in named.values()):
            yield f"metadata {META_MEMBERS!r} must be a JSON object of tensor names"
            return
        produced = {name for node in model.graph.node for name in node.output}
        for name, tensor in named.items():
            if tensor not in produced:
                yield f"metadata {META_MEMBERS!r} says that {name!r} is the tensor {tensor!r}, which no node produces"


def _feature_name_faults(model: onnx.ModelProto, text: str | None) -> Iterator[str]:
    output = next((item for item in model.graph.output if item.name == "features"), None)
    if output is None:
        return
    if text is None:
        yield f"the model answers features but metadata {META_FEATURE_NAMES!r} does not name them; set a JSON array"
        return
    try:
        names = json.loads(text)
    except ValueError:
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        yield f"metadata {META_FEATURE_NAMES!r} must be a JSON array of names"
        return
    if len(set(names)) < len(names):
        yield f"metadata {META_FEATURE_NAMES!r} names a feature twice"
    axes = output.type.tensor_type.shape.dim
    # Another number of axes is a fault of the signature and found there.
    if len(axes) == 2 and axes[1].dim_value != len(names):
        yield (
            f"metadata {META_FEATURE_NAMES!r} names {len(names)} features but the output 'features' has "
            f"{axes[1].dim_value or 'no fixed number of'} columns; they must be as many"
        )


def _run_trial(data: bytes, timeout_s: float, memory_bytes: int) -> list[str]:
    ended = run_child("training.trial", [str(memory_bytes), str(max(1, round(timeout_s)))], data, timeout_s)
    if ended is None:
        return [f"the model did not answer a few rows within {timeout_s:g} s; make it smaller or simpler"]
    try:
        faults = json.loads(ended.output)
    except ValueError:
        how = f"signal {-ended.exit_code}" if ended.exit_code < 0 else f"exit code {ended.exit_code}"
        limits = f"it may use {memory_bytes / 2**30:.1f} GB and {timeout_s:g} s"
        said = f": {ended.last_line}" if ended.last_line else ""
        return [f"the model killed the process that tried it ({how}; {limits}){said}"]
    return [str(fault) for fault in faults]


def _too_large(size: int, max_bytes: int) -> str:
    return (
        f"the model has {size / 2**20:.1f} MB; at most {max_bytes / 2**20:g} MB are accepted, so use fewer or "
        "shallower trees"
    )
