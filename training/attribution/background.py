"""The rows that a score is explained against: a few training rows, kept in the model's file.

They stand in the file's metadata and not beside it in the registry, so that the file's hash freezes them, they travel
with the file, and a file made elsewhere can bring its own.
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
    """At most ``rows`` of ``features`` [N, F], drawn without replacement, in their order."""
    drawn = np.random.default_rng(seed).permutation(len(features))[:rows]
    with np.errstate(over="ignore"):
        return np.asarray(features[np.sort(drawn)], np.float32)


def encode(rows: NDArray[np.float32]) -> str:
    """Rows [B, F] as text: little-endian float32, row by row, in base64."""
    return base64.b64encode(rows.astype(_TYPE).tobytes()).decode()


def decode(text: str, width: int) -> NDArray[np.float32]:
    """The rows of ``width`` features that :func:`encode` wrote. Raises ValueError for any other text."""
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"not base64: {error}") from error
    row_bytes = width * _TYPE.itemsize
    if not data or row_bytes == 0 or len(data) % row_bytes:
        raise ValueError(f"{len(data)} bytes are not rows of {width} float32 values")
    return np.frombuffer(data, _TYPE).reshape(-1, width).astype(np.float32)
