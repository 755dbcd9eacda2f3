"""Defaults of database, role and server change nothing: isolation, read-only, search path, formats, timeouts."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import psycopg
import pytest

from db_functions import sessions
from db_functions.database import Connection, connect
from tests.conftest import downgrade, upgrade
from tests.hostile import set_hostile_defaults
from tests.sql_support import refusal, write_batch
from tests.support import insert_bars, insert_pattern, make_champion, register, row_of, small_model, wait_until
from tests.worker_support import FAST, ROOT, count, scored_true_to_the_champion, working
from worker.cli import main
from worker.http.store import Store

pytestmark = pytest.mark.compat


@pytest.fixture
def hostile(connection: Connection) -> Connection:
    insert_bars(connection)
    make_champion(connection, "one")
    set_hostile_defaults(connection)
    return connection


def test_scores_are_the_same(hostile: Connection, database: str) -> None:
    register(hostile, "two", small_model("two", bias=1.0))
    with working(database, FAST):
        first = [insert_pattern(hostile) for _ in range(20)]
        wait_until(lambda: count(hostile, "ml.queue") == 0, "scored")
        hostile.execute("select ml.promote('two', 'test')")
        wait_until(lambda: count(hostile, "ml.workers where model_version = 'two'") == 1, "the swap")
        second = [insert_pattern(hostile) for _ in range(20)]
        wait_until(lambda: count(hostile, "ml.queue") == 0, "scored")
        wait_until(
            lambda: count(hostile, "ml_internal.folds where folded_at > now() - interval '1 minute'") == 3, "fold"
        )
    assert scored_true_to_the_champion(hostile)
    assert {row_of(hostile, p)["model_version"] for p in first} == {"one"}
    assert {row_of(hostile, p)["model_version"] for p in second} == {"two"}
    assert count(hostile, "ml.failures") == 0
    assert count(hostile, "pattern_events where scored_at < '2020-01-01'") == 0
    values = {row[0] for row in hostile.execute("select ml_confidence from pattern_events where model_version = 'one'")}
    hostile.execute(f"alter database {hostile.info.dbname} reset all".encode())
    hostile.execute("select ml.rollback('test')")
    with working(database, FAST):
        plain = insert_pattern(hostile)
        wait_until(lambda: count(hostile, "ml.queue") == 0, "scored")
    assert values == {row_of(hostile, plain)["ml_confidence"]}


@pytest.mark.parametrize(
    "command",
    [
        ["doctor"],
        ["backfill"],
        ["label"],
        ["status"],
        ["disable", "--reason", "a test"],
        ["rollback", "--reason", "a test"],
    ],
    ids=lambda words: words[0],
)
def test_every_command_answers(
    hostile: Connection, database: str, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_champion(hostile, "two")
    insert_pattern(hostile)
    monkeypatch.setenv("DATABASE_URL", database)
    assert main(command) == (1 if command == ["doctor"] else 0)  # doctor: no worker runs
    if command == ["backfill"]:
        assert count(hostile, "pattern_events where scored_at is not null") == 1


def test_http_reads_and_writes(hostile: Connection, database: str) -> None:
    store = Store(database)
    store.open()
    try:
        assert store.value("health_json")["champion"] == "one"
        store.write("disable", {"reason": "a test"})
    finally:
        store.close()
    assert hostile.execute("select enabled from ml.settings").fetchone() == (False,)


def test_migrations_run(make_database: Callable[[str | None], str]) -> None:
    url = make_database(None)
    with psycopg.connect(url, autocommit=True) as connection:
        set_hostile_defaults(connection)
        upgrade(url)
        connection.execute("drop schema evil cascade")
        downgrade(url)
        assert count(connection, "pg_namespace where nspname in ('ml', 'ml_internal')") == 0


def test_an_application_and_an_operator_with_such_defaults(hostile: Connection, database: str) -> None:
    with psycopg.connect(database, autocommit=True, options="-c default_transaction_read_only=off") as other:
        other.execute(
            "set search_path = evil, pg_catalog, public; set idle_session_timeout = 0; set statement_timeout = 0"
        )
        pattern = insert_pattern(other)
        other.execute("select ml.set('ml_weight', 0.123456789, 'lowercase words')")
        register(other, "two")
        other.execute("select ml.promote('two', 'lowercase words')")
        other.execute("update public.pattern_events set rule_confidence = 0.123456789 where id = %s", [pattern])
    stored = row_of(hostile, pattern)["ml_metadata"]
    assert stored["ml_weight"] == 0.123456789


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
def test_a_write_in_an_old_snapshot_is_refused(connection: Connection, isolation: str) -> None:
    make_champion(connection, "one")
    statement = write_batch(connection, [insert_pattern(connection)], [0.8])
    connection.execute(f"set default_transaction_isolation = '{isolation}'".encode())
    assert refusal(connection, *statement).sqlstate == "25000"  # type: ignore[arg-type]
    connection.execute("set default_transaction_isolation = 'read committed'")
    connection.execute("set session_replication_role = replica")
    assert refusal(connection, *statement).sqlstate == "25000"  # type: ignore[arg-type]


def test_behind_a_pooler_each_transaction_sets_its_own(
    hostile: Connection, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "is_pooled", lambda _: True)
    monkeypatch.setattr("worker.serving.loop.is_pooled", lambda _: False)
    with connect(database, application_name="pooled", autocommit=True) as pooled:
        asked = "select current_setting('transaction_isolation'), current_setting('datestyle'), current_setting('jit')"
        sessions.prepare_scoring(pooled)
        assert pooled.execute(asked).fetchone() == ("read committed", "ISO, YMD", "off")
        pooled.autocommit = False
        assert pooled.execute(asked).fetchone() == ("read committed", "ISO, YMD", "off")
        pooled.rollback()
        # Straight to the server: nothing was left in the session.
        result = pooled.pgconn.exec_(b"show datestyle")
        assert result.get_value(0, 0) == b"SQL, DMY"
    with working(database, FAST):
        pattern = insert_pattern(hostile)
        wait_until(lambda: row_of(hostile, pattern)["model_version"] == "one", "scored")


@pytest.mark.slow
def test_the_suites_of_champions_and_faults() -> None:
    files = ["tests/worker/test_champion.py", "tests/worker/test_faults.py"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", *files],
        env={**os.environ, "HOSTILE_DEFAULTS": "1"}, cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
