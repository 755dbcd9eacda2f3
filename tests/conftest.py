"""Fixtures that every theme shares: servers, a migrated template, a database per test, connections.

A test that needs commits takes ``database`` or ``connection`` (a clone of the template, about 50 ms); one that does
not takes ``transaction``, which is rolled back.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from pytest_postgresql.janitor import DatabaseJanitor

from db_functions.database import Connection
from tests.hostile import set_hostile_defaults
from tests.servers import Server, available, label, running

ROOT = Path(__file__).parent.parent
_numbers = itertools.count()
_NEEDS = {
    "e2e/test_bench_queue.py": ("pgqueuer", "procrastinate"),
    "e2e/test_notebooks.py": ("matplotlib", "nbclient", "ipykernel"),
    "unit/test_bench_report.py": ("matplotlib",),
    "unit/test_evidence.py": ("matplotlib",),
    "training/test_replay_files.py": ("pyarrow",),
    "faults/test_cluster.py": ("distributed", "pyarrow"),
    "worker/test_bulk_dask.py": ("distributed",),
    "worker/test_http_page.py": ("axe_core_python", "selenium"),
}
"""Files of slow tests, by what they import of requirements-slow.lock."""
collect_ignore = [file for file, names in _NEEDS.items() if not all(map(find_spec, names))]


def pytest_report_header() -> list[str]:
    return [f"left out, requirements-slow.lock is not installed: {', '.join(collect_ignore)}"] if collect_ignore else []


def alembic_config(url: str) -> Config:
    config = Config(ROOT / "alembic.ini")
    config.attributes["url"] = url
    return config


def upgrade(url: str, revision: str = "head") -> None:
    command.upgrade(alembic_config(url), revision)


def downgrade(url: str, revision: str = "base") -> None:
    command.downgrade(alembic_config(url), revision)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One server, the first available, for most tests; each of them for those marked ``compat``.

    The others are ``slow`` unless TEST_SERVERS asks for them.
    """
    if "server" in metafunc.fixturenames:
        first, *others = available()
        if metafunc.definition.get_closest_marker("compat") is None:
            others = []
        marks = () if "TEST_SERVERS" in os.environ else (pytest.mark.slow,)
        servers = [first, *(pytest.param(name, marks=marks) for name in others)]
        metafunc.parametrize("server", servers, indirect=True, ids=map(label, [first, *others]), scope="session")


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    try:
        with running(request.param) as started:
            yield started
            return
    except Exception as error:  # noqa: BLE001  # one clear line instead of hundreds of failures
        said = f"the server {request.param} cannot be used: {error}"
    # Not pytest.exit: a process of xdist that exits within a test is taken for one that crashed.
    request.session.shouldstop = said
    pytest.fail(said, pytrace=False)


def _janitor(server: Server, name: str, template: str | None = None) -> DatabaseJanitor:
    return DatabaseJanitor(user=server.user, host=server.host, port=server.port, dbname=name, template_dbname=template)


@pytest.fixture(scope="session")
def template(server: Server) -> Iterator[str]:
    """The name of a database at head, for cloning."""
    with _janitor(server, f"template_{server.name}"):
        upgrade(server.url(f"template_{server.name}"))
        with psycopg.connect(server.url(f"template_{server.name}"), autocommit=True) as connected:
            # Tests change champions without gathering evidence; those of the gates put this back.
            connected.execute("update ml.settings set gate_pairs = 0")
        yield f"template_{server.name}"


@pytest.fixture
def make_database(server: Server) -> Iterator[Callable[[str | None], str]]:
    """Makes databases of this test's own, empty or from a template; returns their URLs."""
    made: list[DatabaseJanitor] = []

    def make(template: str | None = None) -> str:
        name = f"test_{next(_numbers)}"
        janitor = _janitor(server, name, template)
        janitor.init()
        made.append(janitor)
        return server.url(name)

    yield make
    for janitor in made:
        janitor.drop()


@pytest.fixture
def database(make_database: Callable[[str | None], str], template: str) -> str:
    """The URL of a database at head that belongs to this test."""
    return make_database(template)


@pytest.fixture
def within_an_hour() -> None:
    """Begins the test where no hour (day, week, month) ends soon: for tests of what is counted by such periods."""
    left_s = 3600 - time.time() % 3600
    if left_s < 20:
        time.sleep(left_s)


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    """An autocommit connection to ``database``, as its owner."""
    with psycopg.connect(database, autocommit=True) as connected:
        if "HOSTILE_DEFAULTS" in os.environ:
            set_hostile_defaults(connected)
        yield connected


@pytest.fixture(scope="session")
def _shared(server: Server, template: str) -> Iterator[str]:
    with _janitor(server, f"shared_{server.name}", template):
        yield server.url(f"shared_{server.name}")


@pytest.fixture
def transaction(_shared: str) -> Iterator[Connection]:
    """A connection inside a transaction that is rolled back."""
    with psycopg.connect(_shared) as connected:
        yield connected
        connected.rollback()
