"""What the commands print and the files they write."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from db_functions.errors import ScoringError


def aligned(rows: list[list[str]]) -> list[str]:
    """Lines of ``rows`` as columns, two spaces apart."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in rows]


def moment(value: datetime) -> str:
    return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def require_writable(path: Path) -> None:
    """Raise ScoringError when an output file cannot be written; called before the work that fills it."""
    if path.is_dir():
        raise ScoringError(f"{path} cannot be written: it is a directory; name a file")
    if not path.parent.is_dir():
        raise ScoringError(f"{path} cannot be written: there is no directory {path.parent}; create it first")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise ScoringError(f"{path} cannot be written: permission denied; name another file")


def write_file(path: Path, data: bytes) -> None:
    """Raises ScoringError with the system's reason."""
    try:
        path.write_bytes(data)
    except OSError as error:
        raise ScoringError(f"{path} cannot be written: {error.strerror}") from error
