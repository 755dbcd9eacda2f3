"""The registry's write side: what a model is registered with, for training and for the model that is shipped."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from psycopg.types.json import Jsonb

from db_functions.contract import PARITY_TOLERANCE
from db_functions.database import Connection
from db_functions.errors import translated
from db_functions.queries import query


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """What the registry keeps of a model, column by column of ``ml_internal.register_model``."""

    version: str
    algorithm: str
    onnx: bytes
    contract_version: int
    inputs: Sequence[str]
    outputs: Sequence[str]
    feature_names: Sequence[str]
    min_bars: int
    metrics: Mapping[str, Any]
    model_card: str
    toolchain: Mapping[str, str]
    drift_baseline: Mapping[str, Any]
    golden: bytes
    """Rows with the answers of what the model was made from, as :mod:`db_functions.golden` writes them."""

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.onnx).hexdigest()


_COLUMNS = tuple(field.name for field in fields(Registration))


def register(
    connection: Connection,
    model: Registration,
    *,
    max_abs_diff: float,
    rows: int,
    runtime: str,
    tolerance: float = PARITY_TOLERANCE,
) -> None:
    """Register ``model`` and the parity that ``runtime`` showed over ``rows`` golden rows, in one transaction.

    The same file again is accepted. Raises InvalidModel when its version is taken by another file.
    """
    parameters = {name: _parameter(getattr(model, name)) for name in _COLUMNS}
    parity = {
        "version": model.version,
        "max_abs_diff": max_abs_diff,
        "tolerance": tolerance,
        "rows": rows,
        "runtime": runtime,
    }
    with translated(), connection.transaction():
        connection.execute(query("register_model"), parameters)
        connection.execute(query("record_parity"), parity)


def _parameter(value: Any) -> Any:
    if isinstance(value, Mapping):
        return Jsonb(value)
    return value if isinstance(value, (str, bytes, int)) else list(value)
