"""Registers the model that comes with the package: a first score without labels, and without the training libraries."""

from __future__ import annotations

import onnxruntime as ort

from db_functions import registry, shipped
from db_functions.database import Connection
from db_functions.errors import translated
from db_functions.model import load, verify
from db_functions.queries import fetch_value
from worker import __version__

REASON = "first passage, before anything was learned"


def register(connection: Connection) -> str:
    """Register the shipped model with the parity of its golden rows here; returns its version. Again it does nothing.

    Raises InvalidModel when it answers its golden rows differently on this host.
    """
    model = shipped.first_passage({"pattern-scoring": __version__})
    parity = verify(load(0, model.version, model.onnx, model.sha256, model.golden))
    assert parity is not None
    runtime = f"worker {__version__}, onnxruntime {ort.__version__}"
    registry.register(connection, model, max_abs_diff=parity.max_abs_diff, rows=parity.rows, runtime=runtime)
    return model.version


def promote(connection: Connection, version: str) -> None:
    """Make it the champion. Raises PromotionRefused where another model serves that it does not surpass."""
    with translated(), connection.transaction():
        fetch_value(connection, "promote", {"version": version, "reason": REASON, "force": False})
