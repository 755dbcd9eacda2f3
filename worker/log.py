"""Log lines: a sentence on a terminal, one JSON object a line everywhere else.

Every line has a stable event name, and its fields beside the sentence::

    logger.info("worker %(worker)d started", event("worker_started", worker=3))

Fields are numbers, versions and messages; never features, levels or connection strings.
"""

from __future__ import annotations

import json
import logging
import math
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TextIO

_HUMAN = "%(asctime)s %(levelname)-7s %(name)s[%(process)d]: %(message)s"


def event(name: str, **fields: Any) -> Mapping[str, Any]:
    """The one argument of a log call, from which its sentence takes what it says: ``%(batch)d``."""
    return {"event": name, **fields}


def configure(*, verbose: bool, quiet: bool = False, stream: TextIO | None = None) -> None:
    """Log to ``stream`` (stderr) from now on: from debug when ``verbose``, else from info, or warnings if ``quiet``."""
    stream = stream or sys.stderr
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter(_HUMAN) if stream.isatty() else JsonFormatter())
    level = logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO
    logging.basicConfig(level=level, handlers=[handler])


class JsonFormatter(logging.Formatter):
    """``{"time": ..., "level": ..., "logger": ..., "pid": ..., "event": ..., "message": ..., fields}``, in UTC."""

    def format(self, record: logging.LogRecord) -> str:
        fields = dict(record.args) if isinstance(record.args, Mapping) else {}
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "pid": record.process,
            "event": fields.pop("event", "log"),
            "message": record.getMessage(),
            **{name: _plain(value) for name, value in fields.items()},
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def _plain(value: Any) -> Any:
    """JSON has no NaN and no infinity; a float beyond the third decimal of a millisecond is noise."""
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value
