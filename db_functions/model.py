"""Loads a model: checks the file and its contract, runs it within a time limit, replays its golden rows."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from db_functions.contract import (
    CONTRACT_VERSION,
    INPUTS,
    META_CONTRACT_VERSION,
    META_FEATURE_NAMES,
    META_LABEL_HORIZON,
    META_MIN_BARS,
    PARITY_TOLERANCE,
    Arrays,
    check_signature,
    read_training,
)
from db_functions.errors import InvalidModel, first_line
from db_functions.golden import Golden, largest_difference
from db_functions.operators import refused_operators
from db_functions.sandbox import MODEL_BYTES
from db_functions.watchdog import Watchdog

_watchdog = Watchdog()


@dataclass(frozen=True, slots=True)
class Parity:
    """The outcome of replaying a model's golden rows here."""

    max_abs_diff: float
    rows: int


@dataclass(frozen=True, slots=True)
class Model:
    """An ONNX model ready to score."""

    id: int
    version: str
    min_bars: int
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    feature_count: int
    session: Any
    label_horizon: int | None = None
    """Bars ahead that its labels looked; None where the file does not say."""
    golden: bytes | None = None

    def run(self, inputs: Arrays, deadline: float | None = None) -> dict[str, NDArray[Any]]:
        """Its outputs by name, for inputs with the batch as their first axis; ``deadline`` ends a run."""
        with _watchdog.watch(deadline) as options:
            answers = self.session.run(self.output_names, dict(inputs), options)
        return dict(zip(self.output_names, answers, strict=True))

    def replay(self, golden: bytes) -> Parity:
        """How far its answers to the golden rows are from the recorded ones, one row at a time and all at once."""
        rows = Golden.from_bytes(golden)
        worst = 0.0
        for size in {1, len(rows)}:
            for start in range(0, len(rows), size):
                part = slice(start, start + size)
                given = self.run({name: rows.inputs[name][part] for name in self.input_names})
                expected = {name: values[part] for name, values in rows.outputs.items() if name in given}
                worst = max(worst, largest_difference(expected, given).amount)
        return Parity(worst, len(rows))


def open_session(data: bytes) -> ort.InferenceSession:
    """An ONNX file as every program runs it. Raises what ONNX Runtime raises when it cannot be loaded."""
    options = ort.SessionOptions()
    # One thread: scores are bit-identical at every batch size. Scale by processes.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Not the runtime's own format, whose operators nobody has looked at.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    # A file given as bytes may name external data, which the runtime reads relative to the working directory unless
    # told otherwise. An empty directory has none. (Every thread would see a change of the working directory.)
    with tempfile.TemporaryDirectory() as empty:
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", empty)
        return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def signature_faults(session: ort.InferenceSession) -> list[str]:
    """How the inputs and outputs of a model break the contract; empty when they keep it."""
    return check_signature(
        [(item.name, item.type, item.shape) for item in session.get_inputs()],
        [(item.name, item.type, item.shape) for item in session.get_outputs()],
    )


def load(model_id: int, version: str, data: bytes, sha256: str, golden: bytes | None = None) -> Model:
    """Open the file. Raises InvalidModel when it is not what was registered or does not keep the contract."""
    if len(data) > MODEL_BYTES:
        raise InvalidModel(f"model {version} has {len(data):,} bytes; at most {MODEL_BYTES:,} are loaded")
    digest = hashlib.sha256(data).hexdigest()
    if digest != sha256:
        raise InvalidModel(f"model {version} is not the file that was registered: sha256 {digest}, not {sha256}")
    if refused := refused_operators(data):
        raise InvalidModel(f"model {version}: " + "; ".join(refused[:5]))
    try:
        session = open_session(data)
    except Exception as error:
        raise InvalidModel(f"model {version} does not load: {first_line(error)}") from error
    faults = signature_faults(session)
    metadata = session.get_modelmeta().custom_metadata_map
    if metadata.get(META_CONTRACT_VERSION) != str(CONTRACT_VERSION):
        faults.append(
            f"contract version {metadata.get(META_CONTRACT_VERSION)!r}; this worker serves {CONTRACT_VERSION}"
        )
    min_bars, names = _read_metadata(metadata, session, faults)
    trained: dict[str, int] = {}
    try:
        trained = read_training(metadata)
    except ValueError as error:
        faults.append(f"metadata: {error}")
    if faults:
        raise InvalidModel(f"model {version} does not keep the scoring contract: " + "; ".join(faults))
    return Model(
        id=model_id,
        version=version,
        min_bars=min_bars,
        input_names=tuple(item.name for item in session.get_inputs()),
        output_names=tuple(item.name for item in session.get_outputs()),
        feature_count=len(names),
        session=session,
        label_horizon=trained.get(META_LABEL_HORIZON),
        golden=golden,
    )


def _read_metadata(metadata: Mapping[str, str], session: Any, faults: list[str]) -> tuple[int, list[str]]:
    """The fewest bars that it scores and the names of its features, by its metadata; adds to ``faults``."""
    try:
        min_bars = int(metadata.get(META_MIN_BARS, 1))
        names: list[str] = list(json.loads(metadata.get(META_FEATURE_NAMES, "[]")))
    except (ValueError, TypeError):
        faults.append(f"metadata: {META_MIN_BARS} must be a whole number, {META_FEATURE_NAMES} a JSON array of strings")
        return 1, []
    shapes = [item.shape for item in session.get_outputs() if item.name == "features"]
    width = shapes[0][-1] if shapes else 0
    if width != len(names):
        faults.append(f"{len(names)} features are named, but output 'features' has {width}")
    return min_bars, names


def verify(model: Model) -> Parity | None:
    """Replay the golden rows, if there are any. Raises InvalidModel when the answers differ too much."""
    if model.golden is None:
        return None
    try:
        parity = model.replay(model.golden)
    except Exception as error:
        raise InvalidModel(f"model {model.version} cannot replay its golden rows: {first_line(error)}") from error
    if not parity.max_abs_diff <= PARITY_TOLERANCE:
        raise InvalidModel(
            f"model {model.version} answers its golden rows differently here: off by {parity.max_abs_diff:g}, "
            f"{PARITY_TOLERANCE:g} allowed"
        )
    return parity


def plain_rows(model: Model) -> Arrays:
    """Two rows of ones and empty texts, for a model without golden rows."""
    shapes = {name: (2, *(width or 1 for width in INPUTS[name].shape)) for name in model.input_names}
    return {
        name: np.full(shape, "", dtype=object) if INPUTS[name].dtype == object else np.ones(shape, INPUTS[name].dtype)
        for name, shape in shapes.items()
    }


def run_plain_rows(model: Model) -> None:
    """Run a model without golden rows on plain ones. Raises InvalidModel when it cannot answer them."""
    try:
        model.run(plain_rows(model))
    except Exception as error:
        raise InvalidModel(f"model {model.version} cannot answer plain rows: {first_line(error)}") from error
