"""What ``train`` and ``promote`` say of the settings: whether others would surely have served unseen rows better."""

from __future__ import annotations

from dataclasses import dataclass

from db_functions.database import Connection
from db_functions.queries import fetch_row


@dataclass(frozen=True, slots=True)
class Advice:
    """Of ``ml.blend_advice``, what a line needs."""

    advice: str
    rows: int


def blend_line(connection: Connection) -> str | None:
    """The advice in a line; None while no unseen row has an outcome."""
    found = fetch_row(connection, "blend_advice", Advice)
    return f"{found.advice} (by {found.rows:,} unseen rows; ml.blend_advice)" if found.rows else None
