"""What a process does once, when it starts: it registers itself, and takes settings from its environment."""

from __future__ import annotations

import logging
import os
import socket

from db_functions.database import Connection
from db_functions.queries import fetch_value
from worker import __version__
from worker.log import event

logger = logging.getLogger(__name__)

ENVIRONMENT = ("ENABLE_PHASE5_ML", "ML_CONFIDENCE_THRESHOLD", "ML_CONFIDENCE_WEIGHT", "RULE_CONFIDENCE_WEIGHT")


def start_worker(connection: Connection, kind: str) -> int:
    """Register this process in ``ml.workers`` as a worker or a backfill; returns its id."""
    parameters = {"host": socket.gethostname(), "pid": os.getpid(), "version": __version__, "kind": kind}
    worker_id: int = fetch_value(connection, "start_worker", parameters)
    return worker_id


def apply_environment(connection: Connection) -> None:
    """Apply the four variables that operators of the earlier system set, each when it has changed."""
    for name in ENVIRONMENT:
        value = os.environ.get(name, "").strip()
        if value and fetch_value(connection, "apply_environment", {"name": name, "value": value}):
            logger.warning(
                "setting taken from the environment: %(variable)s=%(value)s",
                event("setting_from_environment", variable=name, value=value),
            )
