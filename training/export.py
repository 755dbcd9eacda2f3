"""One file from raw bars to calibrated probability: features, first passage and its correction joined as an ONNX graph.

:class:`FittedModel` is the same chain in NumPy and scikit-learn, the answer that the file must give; ``verify``
compares the two.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import ndonnx as ndx
import numpy as np
import onnx
import spox
from numpy.typing import NDArray

from db_functions.contract import (
    CONTRACT_VERSION,
    DEFAULT_HORIZON,
    INPUTS,
    META_BACKGROUND,
    META_CONTRACT_VERSION,
    META_FEATURE_NAMES,
    META_FITTED_FROM,
    META_FITTED_UNTIL,
    META_LABEL_HORIZON,
    META_MEMBERS,
    META_MIN_BARS,
    META_MODEL_VERSION,
    OPTIONAL_OUTPUTS,
    OUTPUTS,
    Arrays,
    TensorSpec,
)
from db_functions.walk import LEAST_BARS
from training import features as feature_code
from training.attribution import background as background_rows
from training.convert import OUTPUT, convert
from training.correction import SERVED, Ask, FirstPassage, Fitted, by_library, side_by_side
from training.features import FIRST_PASSAGE_NAMES
from training.features.graph import trace
from training.learners import Member

_DIGEST_CHARACTERS: Final = 10
_MARK: Final = "member "


@dataclass(frozen=True, slots=True)
class FittedModel:
    """A fitted correction to first passage within ``horizon`` bars, and the name of its algorithm.

    First passage alone shows the features that it is made of; anything learned shows all of them.
    """

    fitted: Fitted
    horizon: int = DEFAULT_HORIZON
    algorithm: str = "first_passage"

    @property
    def alone(self) -> bool:
        """Whether it is first passage and nothing else."""
        return isinstance(self.fitted.correction, FirstPassage)

    @property
    def feature_names(self) -> tuple[str, ...]:
        return FIRST_PASSAGE_NAMES if self.alone else feature_code.FEATURE_NAMES

    @property
    def compute(self) -> Callable[[Arrays, Any, int], Any]:
        """Its features."""
        return feature_code.compute_first_passage if self.alone else feature_code.compute

    @property
    def min_bars(self) -> int:
        """Rows with fewer bars are not scored."""
        return LEAST_BARS if self.alone else feature_code.MIN_BARS

    def own(self, features: NDArray[Any]) -> NDArray[Any]:
        """Its columns among all features [N, F]."""
        return features[:, [feature_code.FEATURE_NAMES.index(name) for name in self.feature_names]]

    def probabilities(self, features: Any, xp: Any, ask: Ask) -> tuple[Any, dict[str, Any]]:
        """P(negative, neutral, positive) [N, 3] of its own features, and what each member said."""
        if not self.alone:
            return self.fitted.probabilities(features, xp, ask)
        target, stop, neither = (FIRST_PASSAGE_NAMES.index(name) for name in SERVED)
        return side_by_side(features, (stop, neither, target), xp), {}

    def answer(self, inputs: Arrays) -> dict[str, NDArray[np.float32]]:
        """The contract's outputs for raw ``inputs``, by NumPy and scikit-learn."""
        return self.answer_from(self.compute(inputs, np, self.horizon))

    def answer_from(self, features: NDArray[np.floating[Any]]) -> dict[str, NDArray[np.float32]]:
        """The contract's outputs for its own features [N, F] already computed."""
        shown = to_float32(features)
        exact, _ = self.probabilities(shown.astype(np.float64), np, by_library)
        answer = np.asarray(exact, np.float32)
        return {"ml_confidence": answer[:, 2], "probabilities": answer, "features": shown}


def to_float32(features: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """The cast that the graph makes; what is too large for float32 becomes infinite without a warning."""
    with np.errstate(over="ignore"):
        return features.astype(np.float32)


@dataclass(frozen=True, slots=True)
class Exported:
    """A finished file and what it says of itself."""

    version: str
    onnx: bytes
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.onnx).hexdigest()


def export(
    model: FittedModel,
    *,
    background: NDArray[np.float32] | None = None,
    fitted: tuple[int, int] | None = None,
    version: str | None = None,
) -> Exported:
    """Write ``model`` as one self-contained ONNX file, the same bytes for the same model.

    ``background`` are rows of features that its scores will be explained against, ``fitted`` the first and the last
    moment, Unix seconds, of what was learned from.
    Without ``version``, it is the algorithm and the first ten hex digits of the file's own SHA-256 before the version
    is put in: equal models get equal names, on any machine with the same toolchain.
    """
    inputs, outputs, members = _join(model)

    def written(version: str | None) -> bytes:
        return write(
            inputs,
            outputs,
            version=version,
            feature_names=model.feature_names,
            min_bars=model.min_bars,
            horizon=model.horizon,
            fitted=fitted,
            background=background,
            members=members,
        )

    return finish(written, model.algorithm, version)


def finish(written: Callable[[str | None], bytes], algorithm: str, version: str | None) -> Exported:
    """The file that ``written`` makes with its version in it: ``version``, or one that follows from its own content."""
    if version is None:
        digest = hashlib.sha256(written(None)).hexdigest()
        version = f"{algorithm}-{digest[:_DIGEST_CHARACTERS]}"
    data = written(version)
    graph = onnx.load_model_from_string(data).graph
    return Exported(version, data, tuple(item.name for item in graph.input), tuple(item.name for item in graph.output))


def write(
    inputs: Mapping[str, ndx.Array],
    outputs: Mapping[str, ndx.Array],
    *,
    feature_names: Sequence[str] = (),
    min_bars: int,
    horizon: int | None = None,
    fitted: tuple[int, int] | None = None,
    version: str | None = None,
    background: NDArray[np.float32] | None = None,
    members: Mapping[str, ndx.Array] | None = None,
) -> bytes:
    """The file that computes ``outputs`` from ``inputs``, both by their contract names; inputs not needed are left out.

    ``feature_names`` are of the columns of ``features``, where that is an output. Two things that explaining scores
    needs, both optional: ``background``, rows of these features [B, F], and ``members``, the log-odds [N, 1] that each
    part of the model adds.
    """
    marked = {_MARK + name: array for name, array in (members or {}).items()}
    proto = spox.build(
        {name: array.unwrap_spox() for name, array in inputs.items()},
        {name: array.unwrap_spox() for name, array in {**outputs, **marked}.items()},
        drop_unused_inputs=True,
    )
    tensors_of_members = _unmark(proto.graph)
    _tidy(proto.graph)
    for tensors, specs in ((proto.graph.input, INPUTS), (proto.graph.output, {**OUTPUTS, **OPTIONAL_OUTPUTS})):
        for tensor in tensors:
            _state_shape(tensor, specs[tensor.name], len(feature_names))
    properties = {META_CONTRACT_VERSION: str(CONTRACT_VERSION), META_MIN_BARS: str(min_bars)}
    if horizon is not None:
        properties[META_LABEL_HORIZON] = str(horizon)
    if fitted is not None:
        properties |= {META_FITTED_FROM: str(fitted[0]), META_FITTED_UNTIL: str(fitted[1])}
    if feature_names:
        properties[META_FEATURE_NAMES] = json.dumps(list(feature_names))
    if version is not None:
        properties[META_MODEL_VERSION] = version
    if background is not None:
        properties[META_BACKGROUND] = background_rows.encode(background)
    if tensors_of_members:
        properties[META_MEMBERS] = json.dumps(tensors_of_members)
    onnx.helper.set_model_props(proto, dict(sorted(properties.items())))
    data: bytes = proto.SerializeToString(deterministic=True)
    return data


_traced = cache(trace)
"""Tracing takes seconds and is the same for every model of one horizon."""


def _join(model: FittedModel) -> tuple[dict[str, ndx.Array], dict[str, ndx.Array], dict[str, ndx.Array]]:
    """Inputs, outputs, and what each member says."""
    inputs, traced = _traced(model.horizon, model.compute)
    # One cast for the output and all that follows: the graph can be entered there.
    features = ndx.astype(traced, ndx.float32)

    def ask(member: Member, placed: ndx.Array) -> ndx.Array:
        width = len(model.feature_names)
        answer = spox.inline(convert(member, width))(features=placed.unwrap_spox())[OUTPUT]
        return ndx.astype(ndx.asarray(answer), ndx.float64)

    exact, members = model.probabilities(ndx.astype(features, ndx.float64), ndx, ask)
    answer = ndx.astype(exact, ndx.float32)
    outputs = {"ml_confidence": answer[:, 2], "probabilities": answer, "features": features}
    return inputs, outputs, dict(members)


def _state_shape(tensor: onnx.ValueInfoProto, spec: TensorSpec, features: int) -> None:
    """Write the contract's shape on a graph input or output: joining two graphs loses the fixed axes."""
    lengths = [features if length is None else length for length in spec.shape]
    shape = tensor.type.tensor_type.shape
    del shape.dim[:]
    shape.dim.add().dim_param = "N"
    for length in lengths:
        shape.dim.add().dim_value = length


def _unmark(graph: onnx.GraphProto) -> dict[str, str]:
    """Take the members' outputs off again; the names of the tensors that they were, by member."""
    producers = {name: node for node in graph.node for name in node.output}
    marked = [output for output in graph.output if output.name.startswith(_MARK)]
    for output in marked:
        graph.output.remove(output)
    return {output.name.removeprefix(_MARK): producers[output.name].input[0] for output in marked}


def _tidy(graph: onnx.GraphProto) -> None:
    """Put the inputs in the contract's order (the builder's is arbitrary) and drop nodes that nothing reads."""
    inputs = sorted(graph.input, key=lambda item: list(INPUTS).index(item.name))
    del graph.input[:]
    graph.input.extend(inputs)
    used = {item.name for item in graph.output}
    kept = []
    for node in reversed(graph.node):
        if used.intersection(node.output):
            used |= names_read(node)
            kept.append(node)
    del graph.node[:]
    graph.node.extend(reversed(kept))


def names_read(node: onnx.NodeProto) -> set[str]:
    """The tensors of the graph that a node reads, in the branches of an ``If`` too."""
    names = set(node.input)
    for attribute in node.attribute:
        for branch in (attribute.g, *attribute.graphs):
            read = {item.name for item in branch.output}.union(*(names_read(inner) for inner in branch.node))
            made = {name for inner in branch.node for name in inner.output}
            names |= read - made - {item.name for item in (*branch.input, *branch.initializer)}
    return names
