"""The rows that a score is explained against: a few of those the model learnt from, kept in its file.

In the file's metadata, not beside it in the registry: they are then frozen by the file's hash, travel with it, and a
file made elsewhere can bring its own.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

ROWS: Final = 100
_TYPE: Final = np.dtype("<f4")


def choose(features: NDArray[np.floating[Any]], *, seed: int, rows: int = ROWS) -> NDArray[np.float32]:
    """At most ``rows`` of ``features`` [N, F], drawn without return, in their order."""
    drawn = np.random.default_rng(seed).permutation(len(features))[:rows]
    with np.errstate(over="ignore"):
        return np.asarray(features[np.sort(drawn)], np.float32)


def encode(rows: NDArray[np.float32]) -> str:
    """Rows [B, F] as text: little-endian float32, row by row, in base64."""
    return base64.b64encode(rows.astype(_TYPE).tobytes()).decode()


def decode(text: str, width: int) -> NDArray[np.float32]:
    """What :func:`encode` wrote of rows of ``width`` features. Raises ValueError when it is something else."""
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"not base64: {error}") from error
    row_bytes = width * _TYPE.itemsize
    if not data or row_bytes == 0 or len(data) % row_bytes:
        raise ValueError(f"{len(data)} bytes are no rows of {width} float32 values")
    return np.frombuffer(data, _TYPE).reshape(-1, width).astype(np.float32)
