"""doctor: healthy is 0; each check fails for its real cause, caused on purpose, and names the remedy."""

from __future__ import annotations

import errno
from collections.abc import Callable

import psycopg
import pytest

from db_functions.database import Connection
from tests.support import insert_bars, insert_pattern, make_champion, wait_until
from tests.worker.test_backfill import everything
from tests.worker_support import count, process, working
from worker.cli import main
from worker.operating import doctor, smoke
from worker.operating.finding import FAIL, OK, SKIP, Finding


@pytest.fixture
def healthy(connection: Connection) -> Connection:
    """All a deployment needs but a worker, whose heartbeat is written by hand."""
    insert_bars(connection)
    make_champion(connection, "small-1")
    connection.execute("select ml_internal.start_worker('host', 1, '1', 'worker')")
    return connection


def findings(connection: Connection) -> dict[str, Finding]:
    found: dict[str, Finding] = {}
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


def test_its_report_is_all_that_it_says(healthy: Connection, database: str) -> None:
    with process(database, "doctor") as command:
        command.wait(60)
        assert len(command.printed.splitlines()) == len(doctor.CHECKS)
        assert command.stderr() == "", "a report with log lines in between is hard to read"


def test_it_writes_nothing(healthy: Connection) -> None:
    before = everything(healthy)
    assert {name for name, finding in findings(healthy).items() if finding.outcome != OK} == set()
    assert everything(healthy) == before


@pytest.mark.parametrize(
    ("cause", "check", "said", "remedy"),
    [
        ("alter function ml_internal.heartbeat rename to gone", "schema", "older release", "alembic upgrade head"),
        ("update ml_alembic_version set version_num = '0001'", "schema", "this release needs", "alembic upgrade"),
        ("drop table ml_alembic_version", "schema", "at no revision", "alembic upgrade head"),
        (
            "revoke execute on function ml_internal.write_batch from ml_worker", "roles", "1 rights are missing",
            "grant execute on function ml_internal.write_batch(",
        ),
        ("revoke update on ml.queue from ml_worker", "roles", "1 rights", "grant update on ml.queue to ml_worker"),
        (
            "alter function ml_internal.write_batch owner to postgres",
            "roles",
            "1 objects of the system have another owner",
            "restore the dump with its owners",
        ),
        ("revoke usage on schema ml from ml_worker", "roles", "1 rights", "grant usage on schema ml to ml_worker"),
        (
            "alter table pattern_events disable trigger ml_1_guard; alter table price_bars disable trigger ml_1_check",
            "triggers", "disabled: ml_1_guard of pattern_events, ml_1_check of price_bars",
            "alter table pattern_events enable trigger ml_1_guard; alter table price_bars enable trigger ml_1_check",
        ),
        (
            "alter table pattern_events disable trigger ml_2_blend", "smoke row",
            "failed, no score would be served", "docs/applications.md",
        ),
        ("select ml.disable('test')", "settings", "ML is disabled", "python -m worker enable"),
        ("select ml.set('ml_weight', 0, 'x'), ml.set('rule_weight', 0, 'x')", "settings", "weights are 0", "ml.set"),
        ("select ml.set('benchmark_symbol', 'NONE', 'x')", "settings", "NONE has no bars", "load them"),
        ("update ml.aliases set valid_to = now()", "champion", "there is none", "first-passage --promote"),
        (
            "update ml.models set onnx = 'x', sha256 = encode(sha256('x'), 'hex')",
            "model", "failed its trial run|is not an ONNX file", "python -m worker rollback",
        ),
        (
            "insert into pattern_events (symbol, timeframe, pattern_type) values ('A', 'd', ''); delete from ml.queue",
            "backfill", "1 rows have no score", "python -m worker backfill",
        ),
        ("update ml.workers set last_seen = now() - interval '1 hour'", "workers", "none is alive", "worker run"),
        ("truncate price_bars", "smoke row", "no bars", "load price_bars"),
        ("alter table pattern_events disable trigger ml_enqueue", "smoke row", "not queued", "enable trigger"),
        ("drop view ml.health cascade", "views", "does not exist", "the server lacks"),
    ],
)  # fmt: skip
def test_each_check_fails_for_its_cause(healthy: Connection, cause: str, check: str, said: str, remedy: str) -> None:
    healthy.execute(cause.encode())
    finding = findings(healthy)[check]
    assert finding.outcome == FAIL, finding
    assert any(part in finding.text for part in said.split("|")), finding
    assert remedy in finding.remedy, finding


def test_a_role_that_is_not_there_is_named(healthy: Connection) -> None:
    # Roles are the server's, where other tests run: renamed within a transaction that is taken back.
    with healthy.transaction(force_rollback=True):
        healthy.execute("alter role ml_publisher rename to gone")
        finding = doctor._roles(healthy)
    assert finding == Finding(FAIL, "missing: ml_publisher", "create role ml_publisher nologin, as an administrator")


def test_a_rollback_that_leads_to_a_model_that_does_not_load(healthy: Connection) -> None:
    make_champion(healthy, "small-2")
    assert "small-1" in findings(healthy)["rollback"].text
    healthy.execute(
        "update ml.models set onnx = 'x', sha256 = encode(sha256('x'), 'hex') where version = 'small-1'",
    )
    finding = findings(healthy)["rollback"]
    assert finding.outcome == FAIL
    assert "ml.retire" in finding.remedy
    healthy.execute("select ml.retire('small-1', 'as doctor says')")
    assert findings(healthy)["rollback"].outcome == OK


def test_a_host_without_room_is_not_the_models_fault(healthy: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    make_champion(healthy, "small-2")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("worker.serving.loading.require_trial", full)
    found = findings(healthy)
    assert found["model"].remedy == found["rollback"].remedy == doctor.HOST
    assert "[Errno 28]" in found["model"].text


def test_a_rollback_that_somebody_is_in_the_way_of(
    healthy: Connection, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "LOCK_TIMEOUT_MS", 100)
    with psycopg.connect(database) as other:
        other.execute("lock table ml_internal.gate in row share mode")
        finding = findings(healthy)["rollback"]
    assert finding.outcome == FAIL
    assert "has held the champion for 0.1 s" in finding.text
    assert "pg_locks" in finding.remedy
    healthy.execute(finding.remedy.encode())
    assert findings(healthy)["rollback"].outcome == OK


def test_a_live_row_is_scored_by_a_worker_and_deleted(
    connection: Connection, database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    insert_bars(connection)
    make_champion(connection, "small-1")
    monkeypatch.setenv("DATABASE_URL", database)
    with working(database):
        wait_until(lambda: count(connection, "ml.workers where last_seen is not null") == 1, "a worker")
        assert main(["doctor", "--live"]) == 0
        (line,) = [line for line in capsys.readouterr().out.splitlines() if "smoke row" in line]
        worker = connection.execute("select id, host from ml.workers").fetchone()
    assert worker
    assert f"scored by worker {worker[0]} on {worker[1]} (" in line
    left = {name: count(connection, name) for name in ("pattern_events", "ml.queue", "ml.failures", "ml.predictions")}
    assert left == {"pattern_events": 0, "ml.queue": 0, "ml.failures": 0, "ml.predictions": 1}


def test_a_live_row_that_no_worker_takes(healthy: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker of ``healthy`` has a heartbeat and nothing behind it."""
    monkeypatch.setattr(smoke, "WAIT_S", 0.1)
    found: dict[str, Finding] = {}
    assert not doctor.examine(healthy, found.__setitem__, live=True)
    assert found["smoke row"] == Finding(
        FAIL, "no worker took the smoke row off the queue in time", "read the workers' log"
    )
    assert count(healthy, "pattern_events") == 0
    healthy.execute("update ml.workers set last_seen = now() - interval '1 hour'")
    doctor.examine(healthy, found.__setitem__, live=True)
    assert found["smoke row"].outcome == OK
    assert "no worker is alive" in found["smoke row"].text


def test_a_live_row_that_falls_back(connection: Connection, database: str) -> None:
    insert_bars(connection)
    found: dict[str, Finding] = {}
    with working(database):
        assert not doctor.examine(connection, found.__setitem__, live=True)
    assert "no_model" in found["smoke row"].text
    assert count(connection, "pattern_events") == 0


def test_a_role_that_may_not_is_told_which_it_needs(healthy: Connection, database: str) -> None:
    with psycopg.connect(f"{database}&options=-c%20role%3Dml_analyst", autocommit=True) as own:
        own.execute("select 1")
        finding = doctor._roles(own)
        assert (finding.outcome, finding.remedy) == (FAIL, "grant ml_worker to ml_analyst")
    with psycopg.connect(f"{database}&options=-c%20role%3Dml_worker", autocommit=True) as own:
        found = findings(own)
        assert found["roles"].outcome == OK
        assert found["smoke row"].outcome == found["rollback"].outcome == SKIP
        doctor.examine(own, found.__setitem__, live=True)
        assert found["smoke row"].outcome == SKIP
    with psycopg.connect(f"{database}&options=-c%20role%3Dml_operator", autocommit=True) as own:
        assert findings(own)["schema"].outcome == OK


def test_a_worker_that_may_not_even_look_is_told_why(healthy: Connection, database: str) -> None:
    healthy.execute("revoke usage on schema ml from ml_worker")
    with psycopg.connect(f"{database}&options=-c%20role%3Dml_worker", autocommit=True) as own:
        finding = findings(own)["roles"]
    assert (finding.outcome, finding.remedy) == (FAIL, "grant usage on schema ml to ml_worker")


def test_without_a_schema_nothing_else_is_asked(make_database: Callable[[str | None], str]) -> None:
    with psycopg.connect(make_database(None), autocommit=True) as empty:
        assert [(name, finding.outcome) for name, finding in findings(empty).items()] == [("schema", FAIL)]


def test_fixed_weights_that_serve_worse_than_the_model_alone(healthy: Connection) -> None:
    healthy.execute("select ml.set('ml_weight', 0.6, 'as in the earlier system')")
    healthy.execute("update ml.settings_history set changed_at = changed_at - interval '90 days'")
    healthy.execute(
        "insert into ml_internal.paired_weeks select model_id, week, week, date_trunc('month', week)::date, "
        "'champion', 'live', 'flag', '1h', 100, 50, 24, 100, 50, 28, 4 + extract(week from week) % 2, "
        "100, -5, -1, 0, 0, 0, 0 from ml_internal.champion, "
        "generate_series(date_trunc('week', now(), 'UTC')::date - 70, "
        "date_trunc('week', now(), 'UTC')::date - 7, interval '7 days') w (week)"
    )
    found = findings(healthy)["blend"]
    assert (found.outcome, found.remedy) == (FAIL, "select ml.set('weights', 'learned', 'reason')")
    assert "the model alone" in found.text
    assert "share of positive outcomes" in found.text
    assert "rule confidence" not in found.text
