"""The connection that every command opens."""

from __future__ import annotations

from db_functions import database


def connect() -> database.Connection:
    """Raises DatabaseUnavailable and InvalidUrl."""
    connection = database.connect(application_name="pattern-scoring training")
    database.show_warnings(connection)
    return connection
