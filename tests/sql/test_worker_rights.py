"""What a worker's login can do to models and settings, and what it cannot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import psycopg
import pytest

from db_functions.database import Connection
from db_functions.queries import query
from tests.sql_support import refusal, refused_with
from tests.support import make_champion, register
from worker.serving.loading import RUNTIME, fetch

PARITY = "select ml_internal.record_parity(%s, %s, 1e-5, 8, 'worker 0, test')"
Login = Callable[[str], Connection]


@pytest.fixture
def login(connection: Connection, database: str) -> Iterator[Login]:
    """A session of a login that has one role of the system."""
    with ExitStack() as stack:

        def start(role: str) -> Connection:
            name = f"a_{role}"
            connection.execute(
                f"do $$ begin create role {name} login; exception when duplicate_object then null; end $$".encode()
            )
            connection.execute(f"grant {role} to {name}".encode())
            return stack.enter_context(psycopg.connect(database, user=name, autocommit=True))

        yield start


def test_a_worker_vouches_for_no_model(connection: Connection, login: Login) -> None:
    worker, publisher = login("ml_worker"), login("ml_publisher")
    register(connection, "unchecked", parity=None)
    assert refusal(worker, PARITY, ["unchecked", 0.0]).sqlstate == "42501"
    make_champion(connection, "first")
    register(connection, "failed", parity=0.0)
    connection.execute("select ml.challenge('failed', 0.5, 0, 'test')")
    publisher.execute(PARITY, ["failed", 0.5])
    worker.execute(PARITY, ["failed", 0.0])
    assert "parity" in refused_with(connection, "ML002", "select ml.promote('failed', 'test')")
    publisher.execute(PARITY, ["failed", 0.0])
    connection.execute("select ml.promote('failed', 'test')")


def test_a_worker_may_stop_a_model(connection: Connection, login: Login) -> None:
    worker = login("ml_worker")
    make_champion(connection, "first")
    register(connection, "b")
    connection.execute("select ml.challenge('b', 0.5, 0, 'test')")
    worker.execute(PARITY, ["b", 0.5])
    assert "parity" in refused_with(connection, "ML002", "select ml.promote('b', 'test')")
    worker.execute(PARITY, ["b", 0.0])
    connection.execute("select ml.promote('b', 'test')")


def test_only_what_a_worker_has_loaded_is_not_tried_again(
    connection: Connection, login: Login, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []
    monkeypatch.setattr("worker.serving.loading.require_trial", lambda version, *_: tried.append(version))
    worker, publisher = login("ml_worker"), login("ml_publisher")
    make_champion(connection, "first")
    row = connection.execute("select id from ml.models where version = 'first'").fetchone()
    assert row is not None
    said = {"version": "first", "max_abs_diff": 0.0, "tolerance": 1e-5, "rows": 8, "runtime": RUNTIME}
    publisher.execute(query("record_parity"), said)
    fetch(worker, row[0])
    assert tried == ["first"], "a publisher's word does not spare a worker the trial"
    worker.execute(query("record_parity"), said | {"runtime": "worker 0, another"})
    fetch(worker, row[0])
    assert tried == ["first"] * 2, "another runtime proves nothing about this one"
    worker.execute(query("record_parity"), said)
    fetch(worker, row[0])
    assert tried == ["first"] * 2


def test_an_operator_can_close_the_way_through_the_environment(connection: Connection, login: Login) -> None:
    worker = login("ml_worker")
    apply = "select ml_internal.apply_environment('ENABLE_PHASE5_ML', %s)"
    assert worker.execute(apply, ["true"]).fetchone() == (True,)
    taken = connection.execute("select changed_by, source from ml.settings_history").fetchall()
    assert taken == [("a_ml_worker", "environment")]
    connection.execute("select ml.set('environment', 'off', 'workers are run by others')")
    connection.execute("select ml.disable('an incident')")
    for value in ("on", "false", "true"):
        assert worker.execute(apply, [value]).fetchone() == (False,)
    assert connection.execute("select enabled from ml.settings").fetchone() == (False,)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        worker.execute("select ml.set('environment', 'on', 'mine again')")
