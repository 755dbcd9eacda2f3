"""doctor: healthy is 0; each check fails for its real cause, caused on purpose, and names the remedy."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from db_functions.database import Connection
from tests.support import insert_bars, insert_pattern, make_champion, wait_until
from tests.test_worker_backfill import everything
from tests.worker_support import count, working
from worker import doctor
from worker.cli import main

pytestmark = pytest.mark.parametrize("server", ["embedded"], indirect=True)


@pytest.fixture
def healthy(connection: Connection) -> Connection:
    """All a deployment needs but a worker, whose heartbeat is written by hand."""
    insert_bars(connection)
    make_champion(connection, "small-1")
    connection.execute("select ml.start_worker('host', 1, '1', 'worker')")
    return connection


def findings(connection: Connection) -> dict[str, doctor.Finding]:
    found: dict[str, doctor.Finding] = {}
    doctor.examine(connection, found.__setitem__)
    return found


def test_a_healthy_system_exits_0_and_is_left_as_it_was(
    connection: Connection, database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    insert_bars(connection)
    make_champion(connection, "small-1")
    with working(database):
        insert_pattern(connection)
        wait_until(lambda: count(connection, "ml.predictions") == 1, "a row is scored")
        monkeypatch.setenv("DATABASE_URL", database)
        assert main(["doctor"]) == 0
        lines = capsys.readouterr().out.splitlines()
    assert [line[:5].strip() for line in lines] == ["ok"] * len(doctor.CHECKS)
    assert count(connection, "pattern_events") == 1
    assert count(connection, "ml.settings_history") == 0
    assert count(connection, "ml.queue") == 0


def test_it_writes_nothing(healthy: Connection) -> None:
    before = everything(healthy)
    assert {name for name, finding in findings(healthy).items() if finding.outcome != doctor.OK} == set()
    assert everything(healthy) == before


@pytest.mark.parametrize(
    ("cause", "check", "said", "remedy"),
    [
        ("alter function ml.heartbeat rename to gone", "schema", "older release", "alembic upgrade head"),
        ("select ml.disable('test')", "settings", "ML is disabled", "python -m worker enable"),
        ("select ml.set('ml_weight', 0, 'x'), ml.set('rule_weight', 0, 'x')", "settings", "weights are 0", "ml.set"),
        ("select ml.set('benchmark_symbol', 'NONE', 'x')", "settings", "NONE has no bars", "load them"),
        ("update ml.aliases set valid_to = now()", "champion", "there is none", "python -m worker promote"),
        (
            "update ml.models set onnx = 'x', sha256 = encode(sha256('x'), 'hex')",
            "model", "failed its trial run|does not load", "python -m worker rollback",
        ),
        (
            "insert into pattern_events (symbol, timeframe, pattern_type) values ('A', 'd', ''); delete from ml.queue",
            "backfill", "1 rows have no score", "python -m worker backfill",
        ),
        ("update ml.workers set last_seen = now() - interval '1 hour'", "workers", "none is alive", "worker run"),
        ("truncate price_bars", "smoke row", "no bars", "load price_bars"),
        ("alter table pattern_events disable trigger ml_enqueue", "smoke row", "not queued", "enable trigger"),
        ("drop view ml.health cascade", "views", "does not exist", "the server misses"),
    ],
)  # fmt: skip
def test_each_check_fails_for_its_cause(healthy: Connection, cause: str, check: str, said: str, remedy: str) -> None:
    healthy.execute(cause.encode())
    finding = findings(healthy)[check]
    assert finding.outcome == doctor.FAIL, finding
    assert any(part in finding.text for part in said.split("|")), finding
    assert remedy in finding.remedy, finding


def test_a_role_that_may_not_is_told_which_it_needs(healthy: Connection, database: str) -> None:
    with psycopg.connect(f"{database}&options=-c%20role%3Dml_analyst", autocommit=True) as own:
        own.execute("select 1")
        finding = doctor._roles(own)
        assert (finding.outcome, finding.remedy) == (doctor.FAIL, "grant ml_worker to ml_analyst")
    with psycopg.connect(f"{database}&options=-c%20role%3Dml_worker", autocommit=True) as own:
        found = findings(own)
        assert found["roles"].outcome == doctor.OK
        assert found["smoke row"].outcome == found["rollback"].outcome == doctor.SKIP
        assert "run doctor with a role that may" in found["rollback"].text


def test_without_a_schema_nothing_else_is_asked(make_database: Callable[[str | None], str]) -> None:
    with psycopg.connect(make_database(None), autocommit=True) as empty:
        assert [(name, finding.outcome) for name, finding in findings(empty).items()] == [("schema", doctor.FAIL)]
