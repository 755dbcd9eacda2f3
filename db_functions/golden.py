"""Golden rows: raw model inputs with the answers the fitted model gave, kept beside every model.

Every program that loads a model replays them and compares: a model that answers differently here is not the model
that was evaluated. They are stored as ``.npz`` without pickles, so that reading them runs no code.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from db_functions.contract import Arrays

_INPUT: Final = "input."
_OUTPUT: Final = "output."


@dataclass(frozen=True, slots=True)
class Golden:
    """Contract inputs and the outputs expected for them, both by name, rows first."""

    inputs: Mapping[str, NDArray[Any]]
    outputs: Mapping[str, NDArray[Any]]

    def __len__(self) -> int:
        return min(len(values) for values in self.outputs.values())

    def to_bytes(self) -> bytes:
        """The rows as ``.npz`` bytes; strings become fixed-width unicode."""
        arrays = {_INPUT + name: _without_objects(values) for name, values in self.inputs.items()}
        arrays |= {_OUTPUT + name: _without_objects(values) for name, values in self.outputs.items()}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **arrays)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Golden:
        """Read :meth:`to_bytes` back; strings become object arrays, as ONNX Runtime wants them.

        Raises ValueError when the bytes are not golden rows.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
        except Exception as error:
            raise ValueError(f"not golden rows: {error}") from error
        inputs, outputs = (_named(arrays, prefix) for prefix in (_INPUT, _OUTPUT))
        if not inputs or not outputs:
            raise ValueError("not golden rows: inputs or outputs are missing")
        if len({len(values) for values in (*inputs.values(), *outputs.values())}) > 1:
            raise ValueError("not golden rows: inputs and outputs differ in length")
        return cls(inputs, outputs)


@dataclass(frozen=True, slots=True)
class Difference:
    """Where two answers differ most, and by how much; infinite where only one of them is NaN."""

    amount: float
    output: str
    row: int


def largest_difference(expected: Arrays, given: Arrays) -> Difference:
    """Compare the answers named in both. Above 1 in size, values are compared relative to the expected one."""
    worst = Difference(0.0, "", 0)
    for name in expected:
        if name not in given:
            continue
        amounts = _differences(expected[name], given[name])
        row = int(np.argmax(amounts)) if len(amounts) else 0
        if len(amounts) and amounts[row] > worst.amount:
            worst = Difference(float(amounts[row]), name, row)
    return worst


def _differences(expected: NDArray[Any], given: NDArray[Any]) -> NDArray[np.float64]:
    """The largest difference within each row."""
    if expected.shape != given.shape:
        return np.full(len(expected), np.inf)
    a, b = (np.asarray(side, np.float64).reshape(len(expected), -1) for side in (expected, given))
    with np.errstate(invalid="ignore"):
        apart = np.abs(a - b) / np.maximum(1.0, np.abs(a))
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    apart = np.where(same, 0.0, np.where(np.isfinite(apart), apart, np.inf))
    return np.asarray(apart.max(axis=1, initial=0.0))


def _without_objects(values: NDArray[Any]) -> NDArray[Any]:
    return values.astype(np.str_) if values.dtype == object else values


def _named(arrays: Arrays, prefix: str) -> dict[str, NDArray[Any]]:
    """The arrays under ``prefix``, strings as objects."""
    return {
        name.removeprefix(prefix): values.astype(object) if values.dtype.kind == "U" else values
        for name, values in arrays.items()
        if name.startswith(prefix)
    }
