"""Registers the model that comes with the package: a first score without labels, and without the training libraries."""

from __future__ import annotations

import hashlib

import onnxruntime as ort
from psycopg.types.json import Jsonb

from db_functions import shipped
from db_functions.contract import PARITY_TOLERANCE
from db_functions.database import Connection
from db_functions.errors import translated
from db_functions.model import load, verify
from db_functions.queries import fetch_value, query
from worker import __version__

REASON = "first passage, before anything was learned"


def register(connection: Connection) -> str:
    """Register the shipped model with the parity of its golden rows here; returns its version. Again it does nothing.

    Raises InvalidModel when it answers its golden rows differently on this host.
    """
    model = shipped.first_passage()
    parity = verify(load(0, model.version, model.onnx, hashlib.sha256(model.onnx).hexdigest(), model.golden))
    assert parity is not None
    with translated(), connection.transaction():
        connection.execute(
            query("register_model"),
            {
                "version": model.version,
                "algorithm": model.algorithm,
                "onnx": model.onnx,
                "contract_version": model.contract_version,
                "inputs": model.inputs,
                "outputs": model.outputs,
                "feature_names": model.feature_names,
                "min_bars": model.min_bars,
                "metrics": Jsonb(model.metrics),
                "model_card": model.model_card,
                "toolchain": Jsonb({"pattern-scoring": __version__}),
                "drift_baseline": Jsonb({}),
                "golden": model.golden,
            },
        )
        connection.execute(
            query("record_parity"),
            {
                "version": model.version,
                "max_abs_diff": parity.max_abs_diff,
                "tolerance": PARITY_TOLERANCE,
                "rows": parity.rows,
                "runtime": f"worker {__version__}, onnxruntime {ort.__version__}",
            },
        )
    return model.version


def promote(connection: Connection, version: str) -> None:
    """Make it the champion. Raises PromotionRefused where another model serves that it does not surpass."""
    with translated(), connection.transaction():
        fetch_value(connection, "promote", {"version": version, "reason": REASON, "force": False})
