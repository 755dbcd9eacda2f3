"""Answers of a session by name; :func:`db_functions.model.open_session` opens one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import onnxruntime as ort
from numpy.typing import NDArray


def input_names(session: ort.InferenceSession) -> list[str]:
    return [item.name for item in session.get_inputs()]


def answer(session: ort.InferenceSession, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Every output of the model by name; inputs that it does not take are left out."""
    names = [item.name for item in session.get_outputs()]
    feed = {name: inputs[name] for name in input_names(session)}
    return dict(zip(names, session.run(names, feed), strict=True))
