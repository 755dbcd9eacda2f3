"""ONNX Runtime as training uses it: sessions like the worker's, and answers by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import onnxruntime as ort
from numpy.typing import NDArray


def open_session(data: bytes, *, log_severity_level: int = 3) -> ort.InferenceSession:
    """A session as the worker runs it: one thread, so that sums are made in one order."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = log_severity_level
    return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def input_names(session: ort.InferenceSession) -> list[str]:
    return [item.name for item in session.get_inputs()]


def answer(session: ort.InferenceSession, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Every output of the model by name; inputs that it does not take are left out."""
    names = [item.name for item in session.get_outputs()]
    feed = {name: inputs[name] for name in input_names(session)}
    return dict(zip(names, session.run(names, feed), strict=True))
