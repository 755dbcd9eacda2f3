"""A worker's life: rings, lost connections, signals, several processes, and what it says when it cannot work."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import psycopg
import pytest

from db_functions.database import Connection
from db_functions.model import Model
from tests.servers import Server
from tests.support import insert_bars, insert_pattern, make_champion, row_of, wait_until
from tests.worker_support import FAST, SLOW, children, count, process, working
from worker.cli import main
from worker.serving import doorbell


@pytest.fixture
def ready(connection: Connection) -> Connection:
    """Bars and a champion."""
    insert_bars(connection)
    make_champion(connection, "small-1")
    return connection


def scored(connection: Connection, pattern: str) -> bool:
    return row_of(connection, pattern, "scored_at")["scored_at"] is not None


def alive(connection: Connection) -> list[int]:
    """Process ids of workers that have reported and not stopped."""
    rows = connection.execute("select pid from ml.workers where stopped_at is null and model_version is not null")
    return [row[0] for row in rows.fetchall()]


def backends(connection: Connection) -> int:
    return count(
        connection,
        "pg_stat_activity where datname = current_database() and application_name like 'pattern-scoring%'",
    )


def test_a_row_from_before_is_scored_at_the_start(ready: Connection, database: str) -> None:
    pattern = insert_pattern(ready)
    with working(database, SLOW):
        wait_until(lambda: scored(ready, pattern), "the waiting row is scored", 10)
    assert row_of(ready, pattern)["prediction_latency_ms"] > 0


def test_rows_that_an_application_has_locked_hold_up_no_others(
    ready: Connection, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Even where they fill a batch."""
    held = [insert_pattern(ready) for _ in range(3)]
    with psycopg.connect(database) as application:
        application.execute("update pattern_events set status = 'confirmed' where id = any (%s)", [held])
        with working(database, replace(FAST, batch=2)):
            others = [insert_pattern(ready) for _ in range(3)]
            wait_until(lambda: all(scored(ready, pattern) for pattern in others), "the others are scored")
            assert not any(scored(ready, pattern) for pattern in held)
            assert count(ready, "ml.queue") == 3
            application.commit()
            wait_until(lambda: all(scored(ready, pattern) for pattern in held), "and these, when they are free")
    assert count(ready, "ml.predictions") == 6
    assert "database_lost" not in [getattr(record, "event", None) for record in caplog.records]


def test_a_ring_wakes_the_worker(ready: Connection, database: str) -> None:
    with working(database, SLOW):
        for _ in range(3):
            pattern = insert_pattern(ready)
            wait_until(lambda pattern=pattern: scored(ready, pattern), "the ring is heard", 5)  # type: ignore[misc]
    wait_until(lambda: backends(ready) == 0, "connections are closed")


@pytest.mark.parametrize("warm", [True, False])
def test_while_rows_are_coming_the_model_is_kept_warm(
    ready: Connection, database: str, monkeypatch: pytest.MonkeyPatch, warm: bool
) -> None:
    runs = list[float]()
    its_way = Model.run

    def run(self: Model, *arguments: Any, **options: Any) -> Any:
        runs.append(time.monotonic())
        return its_way(self, *arguments, **options)

    monkeypatch.setattr(doorbell, "EXPECTED_S", 0.5)
    monkeypatch.setattr(doorbell, "WITHIN_S", 60.0)
    with working(database, replace(SLOW, warm=warm)):
        rows = 0

        def runs_idly() -> bool:
            """Whether the model has run more often than for the rows, after one more."""
            nonlocal rows
            pattern = insert_pattern(ready)
            wait_until(lambda: scored(ready, pattern), "it is scored", 10)
            rows += 1
            return len(runs) > rows

        wait_until(lambda: count(ready, "ml.workers where model_version is not null") == 1, "the model is loaded")
        monkeypatch.setattr(Model, "run", run)
        if not warm:
            assert not any(runs_idly() for _ in range(8))
            return
        wait_until(runs_idly, "an idle run")
        time.sleep(0.8)
        before = len(runs)
        time.sleep(0.1)
        assert len(runs) == before, "no row has come since"


def test_polling_alone_is_enough(ready: Connection, database: str) -> None:
    ready.execute("select ml.set('doorbell', 'off', 'test')")
    with working(database, FAST):
        pattern = insert_pattern(ready)
        wait_until(lambda: scored(ready, pattern), "the row is found without a ring", 5)


@pytest.mark.parametrize("which", ["pattern-scoring worker", "pattern-scoring listener", "pattern-scoring%"])
def test_lost_connections_are_made_again(ready: Connection, database: str, which: str) -> None:
    with working(database, SLOW):
        first = insert_pattern(ready)
        wait_until(lambda: scored(ready, first), "the worker works", 10)
        killed = ready.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where datname = current_database() and application_name like %s",
            [which],
        ).fetchall()
        assert len(killed) == (3 if "%" in which else 1)
        second = insert_pattern(ready)
        wait_until(lambda: scored(ready, second), "the row is scored after the reconnect", 10)
        # The new listener hears, too.
        third = insert_pattern(ready)
        wait_until(lambda: scored(ready, third), "the next ring is heard", 10)
    assert count(ready, "ml.workers") == 1, "it is still the same worker"
    assert count(ready, "ml.workers where stopped_at is not null") == 1
    wait_until(lambda: backends(ready) == 0, "connections are closed")


def test_sigterm_ends_a_process_at_once_and_loses_nothing(ready: Connection, database: str) -> None:
    with process(database, "run", "--poll-interval", "60") as worker:
        wait_until(lambda: len(alive(ready)) == 1, "the worker has reported")
        for _ in range(300):
            insert_pattern(ready)
        began = time.monotonic()
        assert worker.stop() == 0
        assert time.monotonic() - began < 5
        assert "worker stopped after" in worker.stderr()
        assert "Traceback" not in worker.stderr()
    done = count(ready, "pattern_events where scored_at is not null")
    assert done > 0
    assert done + count(ready, "ml.queue") == 300
    assert count(ready, "ml.predictions") == done
    assert alive(ready) == []


def test_two_processes_one_killed_is_replaced_and_sigterm_stops_all(ready: Connection, database: str) -> None:
    with process(database, "run", "--processes", "2") as worker:
        wait_until(lambda: len(alive(ready)) == 2, "two workers have reported")
        killed, other = alive(ready)
        assert worker.process.pid not in (killed, other)
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: bool({*alive(ready)} - {killed, other}), "a third has taken its place")
        assert f"{killed} ended with exit code -9" in worker.stderr()
        pattern = insert_pattern(ready)
        wait_until(lambda: scored(ready, pattern), "rows are scored")
        running = [pid for pid in alive(ready) if pid != killed]
        assert worker.stop() == 0
        for pid in running:
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)
    assert {*alive(ready)} <= {killed}, "the others have said goodbye"


def test_a_child_stopped_before_it_began_is_no_failure(ready: Connection, database: str) -> None:
    with process(database, "run", "--processes", "2") as worker:
        wait_until(lambda: len(children(worker.process.pid)) == 2, "children are started")
        assert worker.stop() == 0
        assert "Traceback" not in worker.stderr()


def test_a_database_without_the_schema_is_one_clear_line(make_database: Callable[[str | None], str]) -> None:
    url = make_database(None)
    with process(url, "run") as worker:
        assert worker.wait() == 1
        (line,) = worker.lines()
        assert line["event"] == "ended_with_error"
        assert line["message"].startswith(
            "The database has no `ml` schema, or an older one; run `alembic upgrade head` first."
        )


def test_a_worker_without_a_right_is_led_to_doctor(ready: Connection, database: str, server: Server) -> None:
    ready.execute("create role barred login in role ml_worker; revoke usage on schema ml from ml_worker")
    try:
        with process(database.replace(f"//{server.user}@", "//barred@"), "run") as worker:
            assert worker.wait() == 1
            (line,) = worker.lines()
        assert line["message"].startswith("permission denied for schema ml; `python -m worker doctor`")
    finally:
        ready.execute("drop role barred")


@pytest.mark.parametrize("command", [["run"], ["http", "--port", "0"]], ids=["run", "http"])
@pytest.mark.parametrize("url", ["patterns", "mysql://someone:secret@host/x", "postgresql:///x?bogus=secret"])
def test_a_url_that_cannot_be_parsed_ends_it(url: str, command: list[str]) -> None:
    """Another try would read the same one: whoever supervises the process is to see that it does not work."""
    with process(url, *command) as worker:
        assert worker.wait() == 1
        (line,) = worker.lines()
    assert line["event"] == "ended_with_error"
    assert line["message"] == "DATABASE_URL is neither a postgresql:// URL nor a connection string."


def test_processes_that_cannot_work_are_not_started_for_ever(make_database: Callable[[str | None], str]) -> None:
    with process(make_database(None), "run", "--processes", "2") as worker:
        assert worker.wait(60) == 1
        assert worker.lines()[-1]["event"] == "gave_up"


@pytest.mark.parametrize("arguments", [["backfill"], ["backfill", "--dry-run"], ["label"], ["status"]])
def test_every_command_says_that_the_schema_is_missing(
    make_database: Callable[[str | None], str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
) -> None:
    monkeypatch.setenv("DATABASE_URL", make_database(None))
    assert main(arguments) == 1
    assert capsys.readouterr().err.strip().splitlines()[-1].startswith("worker: The database has no `ml` schema")


def test_an_unreachable_database_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://someone:secret@/nowhere?host=/no/such/directory&port=5999")
    assert main(["status"]) == 1
    message = capsys.readouterr().err
    assert message.startswith("worker: cannot connect to the database: ")
    assert "/no/such/directory" in message
    assert "secret" not in message


def test_a_worker_waits_for_an_unreachable_database(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "postgresql://someone:secret@/nowhere?host=/no/such/directory&port=5999"
    with process(url, "run") as worker:
        wait_until(lambda: worker.stderr().count("database_lost") >= 2, "it tries again")
        assert worker.stop() == 0
        assert "/no/such/directory" in worker.stderr()
        assert "secret" not in worker.stderr()


def as_worker(url: str) -> str:
    return url + "&options=" + quote("-c role=ml_worker")


def test_everything_runs_as_the_workers_role(
    ready: Connection,
    database: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("ML_CONFIDENCE_THRESHOLD", "0.3")
    with working(as_worker(database)):
        pattern = insert_pattern(ready)
        wait_until(lambda: scored(ready, pattern), "the role may do all that a worker does")
    assert ready.execute("select threshold from ml.settings").fetchone() == (0.3,)
    for _ in range(3):
        insert_pattern(ready)
    ready.execute("truncate ml.queue")
    monkeypatch.setenv("DATABASE_URL", as_worker(database))
    for arguments, said in (
        (["backfill", "--dry-run"], "3 rows would be scored with small-1"),
        (["backfill"], "3 rows done"),
        (["label"], "4 outcomes labelled"),
        (["status"], "champion   small-1"),
    ):
        capsys.readouterr()
        assert main(arguments) == 0, capsys.readouterr().err
        assert said in capsys.readouterr().out


def test_a_login_role_needs_only_membership(ready: Connection, database: str, server: Server) -> None:
    ready.execute("create role scorer login in role ml_worker")
    try:
        url = database.replace(f"//{server.user}@", "//scorer@")
        with working(url, SLOW):
            pattern = insert_pattern(ready)
            wait_until(lambda: scored(ready, pattern), "a member of ml_worker scores")
        with psycopg.connect(url) as own, pytest.raises(psycopg.errors.InsufficientPrivilege):
            own.execute("select ml.set('threshold', 0, 'not its business')")
    finally:
        ready.execute("drop role scorer")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("run --processes two", "--processes: 'two' is not a whole number"),
        ("run --max-memory 0", "--max-memory: 0 is below 1"),
        ("backfill --limit 1.5", "--limit: '1.5' is not a whole number"),
        ("http --port 70000", "--port: 70000 is above 65535"),
    ],
)
def test_a_number_that_cannot_be_is_refused_in_words(
    command: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(command.split())
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("interval", ["0", "-1", "nan", "soon"])
def test_a_poll_interval_that_cannot_be_is_refused(interval: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["run", "--poll-interval", interval])
    assert ended.value.code == 2
    assert "--poll-interval" in capsys.readouterr().err
