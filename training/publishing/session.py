"""The connection that a library call works on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from db_functions import database


@contextmanager
def connected(connection: database.Connection | None, url: str | None) -> Iterator[database.Connection]:
    """``connection`` itself, left open, or a new one to ``url`` or to what ``DATABASE_URL`` names, closed afterwards.

    Raises ValueError when both are given, DatabaseUnavailable, and InvalidUrl.
    """
    if connection is not None and url is not None:
        raise ValueError("give a connection or a url, not both")
    if connection is not None:
        yield connection
        return
    with database.connect(url and database.libpq_url(url), application_name="pattern-scoring training") as opened:
        yield opened
