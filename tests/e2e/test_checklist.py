"""The checklist of docs/operators.md, "From nothing to production", pasted into a shell and into psql, in order.

An empty database, an owner who is no superuser, a login for each of the others, and only what the document says: what
is unclear or missing there fails here.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from db_functions.database import Connection
from tests.conftest import ROOT
from tests.e2e.test_docs import Step, complain, run_sql, steps
from tests.servers import Server
from tests.support import wait_until
from tests.worker_support import count

OPERATORS = ROOT / "docs" / "operators.md"
HEADING = "## From nothing to production"
LOGINS = ("scoring_host", "status_page", "on_call")
_END = "--done--"
_FAILED = "--failed--"


def section() -> str:
    return OPERATORS.read_text().split(f"{HEADING}\n", 1)[1].split("\n## ", 1)[0]


class Shell:
    """One bash, into which blocks are pasted; what it and its children print to stderr goes to ``log``."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.log = folder / "stderr"
        with self.log.open("w") as stderr:
            self._process = subprocess.Popen(
                ["bash", "--norc", "-e", "-o", "pipefail"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True, cwd=ROOT,
                env={**os.environ, **environment}, start_new_session=True,
            )  # fmt: skip
        self._type(f"trap 'echo {_FAILED}' EXIT")

    def _type(self, text: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(f"{text}\n")
        self._process.stdin.flush()

    def paste(self, text: str) -> str:
        """Run a block; what it printed to stdout. An error anywhere in it ends the shell."""
        assert self._process.stdout
        self._type(f"{text}\necho {_END}")
        printed: list[str] = []
        for line in self._process.stdout:
            if line.rstrip() == _END:
                return "".join(printed).rstrip("\n")
            # A command may end without a newline; the mark then follows on the same line.
            if line.rstrip().endswith(_END):
                return ("".join(printed) + line.rstrip().removesuffix(_END)).rstrip("\n")
            printed.append(line)
            # The end of the file does not come: what the shell has started still holds it open.
            if line.rstrip().endswith(_FAILED):
                break
        pytest.fail(f"{text}\nfailed: {''.join(printed)}{self.log.read_text()[-3000:]}")

    def close(self) -> None:
        """Stop it and what it has started, as an operator would."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        self._process.communicate(timeout=20)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def owner(server: Server, make_database: Callable[[str | None], str]) -> Iterator[str]:
    """The URL, without a user, of an empty database that a plain role owns; the server is left as it was."""
    url = make_database(None)
    name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
    with psycopg.connect(url, autocommit=True) as admin:
        # The test's server has had its roles from other databases: this owner is given what the first would have made.
        for role in LOGINS:  # which another document's blocks may have left
            admin.execute(f"drop role if exists {role}".encode())
        admin.execute("create role deployer login createrole")
        for role in ("ml_owner", "ml_writer", "ml_app", "ml_worker", "ml_analyst", "ml_publisher", "ml_operator"):
            if admin.execute("select 1 from pg_roles where rolname = %s", [role]).fetchone():
                admin.execute(f"grant {role} to deployer with admin option".encode())
        admin.execute(f"alter database {name} owner to deployer".encode())
        admin.execute("alter schema public owner to deployer")
    yield url.replace(f"{server.user}@", "")
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = any(%s)", [[*LOGINS]])
        for (role,) in admin.execute("select rolname from pg_roles where rolname = any(%s)", [[*LOGINS]]).fetchall():
            admin.execute(f"drop owned by {role}; drop role {role}".encode())
        admin.execute("reassign owned by deployer to postgres; drop owned by deployer; drop role deployer")


def runs(step: Step, port: int) -> str:
    return step.text.replace("8000", str(port))


@pytest.mark.slow
def test_the_checklist_pasted_from_the_document(owner: str, tmp_path: Path) -> None:
    port = free_port()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    shell = Shell(tmp_path, {"DATABASE_URL": owner, "PGUSER": "deployer", "PATH": path})
    done = []
    try:
        with psycopg.connect(owner, user="deployer", autocommit=True) as connection:
            for step in steps(section()):
                if step.kind == "sql":
                    complain(step, run_sql(connection, step.text))
                else:
                    printed = shell.paste(runs(step, port))
                    if step.shown is not None:
                        complain(step, printed)
                    if "api/ml/health" in step.text:
                        assert json.loads(printed[: printed.index("}") + 1])["champion"] == "first-1"
                done.append(step.kind)
                if "worker run" in step.text:
                    _settle(connection, shell)
            _left_as_said(connection)
    finally:
        shell.close()
    assert done.count("sh") >= 8
    assert done.count("sql") >= 4
    assert re.findall(r"^\*\*(\d+)\.", section(), re.MULTILINE) == [str(n) for n in range(1, 12)]


def _settle(connection: Connection, shell: Shell) -> None:
    """What "some seconds" in the document means."""
    wait_until(
        lambda: count(connection, "ml.workers where model_version = 'first-1' and kind = 'worker'") == 2, "2 workers"
    )
    wait_until(lambda: "http_started" in shell.log.read_text(), "the HTTP process")


def _left_as_said(connection: Connection) -> None:
    assert count(connection, "pattern_events where scored_at is null") == 0
    rows = connection.execute("select version, cause from ml.model_timeline order by valid_from").fetchall()
    assert rows == [("first-1", "promote"), ("second-1", "promote"), ("first-1", "rollback")]
    changes = connection.execute("select name, source from ml.settings_history order by id").fetchall()
    given = [name for name, source in changes if source != "learned"]
    assert given == ["benchmark_symbol", "label_horizon", "enabled", "enabled"]
    assert {name for name, source in changes if source == "learned"} <= {"ml_weight", "rule_weight"}
