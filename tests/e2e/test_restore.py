"""A dump in another cluster, and a standby that takes over: models, scores, settings, counts, queue; a worker goes on.

As docs/operators.md says under "Backup and restore" and "Replicas and failover", with the server's own programs.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from db_functions.database import Connection
from tests.servers import Server, running
from tests.sql_support import IN_SYSTEM
from tests.support import insert_bars, insert_pattern, make_champion, row_of, wait_until
from tests.worker_support import count, process, working
from worker.operating import doctor, finding
from worker.operating.ask import answer_lines

pytestmark = pytest.mark.compat
KEPT = ("pattern_events", "price_bars", "ml.predictions", "ml.models", "ml.aliases", "ml.settings_history", "ml.queue")


@pytest.fixture(scope="module")
def elsewhere(server: Server) -> Iterator[Server]:
    """A second cluster of the same version, which has never heard of us: no roles, no schema."""
    if not (programs(server) / "pg_dump").exists():
        pytest.skip(f"{server.name} comes without pg_dump")
    with running(server.source) as started:
        yield started


def programs(server: Server) -> Path:
    return Path(next(word for word in server.control if word.endswith("pg_ctl"))).parent


def run_program(server: Server, name: str, *arguments: str, given: str | None = None) -> str:
    command = [str(programs(server) / name), *arguments]
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr
    return done.stdout


def findings(connection: Connection) -> dict[str, str]:
    found: dict[str, str] = {}
    doctor.examine(connection, lambda name, finding: found.__setitem__(name, finding.outcome))
    return found


def counted(connection: Connection) -> list[tuple[Any, ...]]:
    """What the views count, over all times."""
    return connection.execute(
        "select model_version, source, sum(rows) as rows, sum(scored) from ml.metrics_history where grain = 'day' "
        "group by 1, 2 order by 1, 2"
    ).fetchall()


def test_a_dump_in_another_cluster_is_scored_on(
    connection: Connection, database: str, server: Server, elsewhere: Server, tmp_path: Path
) -> None:
    insert_bars(connection)
    make_champion(connection, "small-1")
    make_champion(connection, "small-2")
    with working(database):
        for _ in range(20):
            insert_pattern(connection)
        wait_until(lambda: count(connection, "ml.queue") == 0, "scored")
    connection.execute("select ml.set('threshold', 0.7, 'kept?')")
    waiting = insert_pattern(connection)
    before = {table: count(connection, table) for table in KEPT}
    assert counted(connection)

    dump = str(tmp_path / "dump")
    roles = run_program(server, "pg_dumpall", "-d", database, "--roles-only")
    run_program(server, "pg_dump", "-d", database, "--format=custom", "--file", dump)
    run_program(elsewhere, "psql", "--quiet", "-d", elsewhere.url("postgres"), given=roles)
    run_program(elsewhere, "createdb", "--maintenance-db", elsewhere.url("postgres"), "restored")
    run_program(elsewhere, "pg_restore", "--exit-on-error", "-d", elsewhere.url("restored"), dump)

    with psycopg.connect(elsewhere.url("restored"), autocommit=True) as restored:
        assert {table: count(restored, table) for table in KEPT} == before
        assert counted(restored) == counted(connection), "before anything was folded there"
        with working(elsewhere.url("restored")):
            fresh = insert_pattern(restored)
            wait_until(lambda: count(restored, "ml.queue") == 0, "both are scored")
            for pattern in (waiting, fresh):
                assert row_of(restored, pattern, "model_version") == {"model_version": "small-2"}
            wait_until(
                lambda: count(restored, "ml.workers where stopped_at is null and model_version <> ''") == 1, "beat"
            )
            assert set(findings(restored).values()) == {finding.OK}
        restored.execute("select ml_internal.fold()")
        assert sum(row[2] for row in counted(restored) if row[0]) == before["ml.predictions"] + 2
        assert restored.execute("select ml.rollback('it works there too')").fetchone() == ("small-1",)


def test_a_dump_without_owners_is_refused_by_doctor(
    connection: Connection, database: str, server: Server, elsewhere: Server, tmp_path: Path
) -> None:
    """A restore that drops owners or rights looks whole, and no score would stay."""
    dump = str(tmp_path / "dump")
    roles = run_program(server, "pg_dumpall", "-d", database, "--roles-only")
    run_program(elsewhere, "psql", "--quiet", "-d", elsewhere.url("postgres"), given=roles)
    run_program(server, "pg_dump", "-d", database, "--format=custom", "--file", dump)
    run_program(elsewhere, "createdb", "--maintenance-db", elsewhere.url("postgres"), "unowned")
    run_program(elsewhere, "pg_restore", "--no-owner", "--no-acl", "-d", elsewhere.url("unowned"), dump)
    with psycopg.connect(elsewhere.url("unowned"), autocommit=True) as unowned:
        found: dict[str, finding.Finding] = {}
        doctor.examine(unowned, found.__setitem__)
        assert found["roles"].outcome == finding.FAIL
        assert "have another owner than theirs" in found["roles"].text


@contextmanager
def standby_of(primary: Server, folder: Path) -> Iterator[Server]:
    """A streaming replica with pg_basebackup, stopped at the end whatever it has become."""
    as_user = [*primary.control[: primary.control.index("--") + 1]] if "--" in primary.control else []
    data, control = folder / "data", list(primary.control)
    control[control.index("-D") + 1], control[control.index("-l") + 1] = str(data), str(folder / "log")
    base = [*as_user, str(programs(primary) / "pg_basebackup"), "-d", primary.url("postgres"), "-D", str(data)]
    subprocess.run([*base, "-R", "-X", "stream", "-c", "fast"], check=True, capture_output=True, cwd="/")
    options = f"-c unix_socket_directories={folder} -c listen_addresses= -c port=5432 -c hot_standby=on"
    subprocess.run([*control, "-o", options, "start"], check=True, stdout=subprocess.DEVNULL, cwd="/")
    try:
        yield Server("standby", primary.source, str(folder), 5432, primary.user, primary.version, tuple(control))
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], check=True, stdout=subprocess.DEVNULL, cwd="/")
        primary.restart()  # which the test has stopped


@pytest.fixture
def replica_folder(elsewhere: Server) -> Iterator[Path]:
    """A folder of the server's user; a socket's path must be short."""
    with tempfile.TemporaryDirectory(prefix="sb-") as name:
        owner = Path(elsewhere.host).stat()
        os.chown(name, owner.st_uid, owner.st_gid)
        yield Path(name)


def test_a_standby_answers_and_takes_over(
    database: str, server: Server, elsewhere: Server, replica_folder: Path, template: str
) -> None:
    dump = run_program(server, "pg_dump", "-d", server.url(template))
    roles = run_program(server, "pg_dumpall", "-d", server.url(template), "--roles-only")
    run_program(elsewhere, "psql", "--quiet", "-d", elsewhere.url("postgres"), given=roles)
    run_program(elsewhere, "createdb", "--maintenance-db", elsewhere.url("postgres"), "main")
    run_program(elsewhere, "psql", "--quiet", "-d", elsewhere.url("main"), given=dump)
    with psycopg.connect(elsewhere.url("main"), autocommit=True) as primary:
        insert_bars(primary)
        make_champion(primary, "small-1")
        with standby_of(elsewhere, replica_folder) as standby:
            url = standby.url("main")
            waiting = insert_pattern(primary)
            with psycopg.connect(url, autocommit=True) as reading:
                wait_until(lambda: count(reading, "ml.queue") == 1, "it is replicated")
                _everything_answers(reading)
                asked = '{"symbol": "ACME", "timeframe": "1d", "pattern_type": "flag", "detected_at": "2024-05-30"}'
                (answer,) = answer_lines(reading, [asked])
                assert (answer["reason"], answer["model_version"]) == ("scored", "small-1")
            with process(url, "run") as worker:
                wait_until(lambda: "during recovery" in worker.stderr(), "a worker waits there, and says so")
                subprocess.run(
                    [*elsewhere.control, "-m", "immediate", "stop"], check=True, cwd="/", capture_output=True
                )
                subprocess.run([*standby.control, "promote"], check=True, cwd="/", capture_output=True)
                with psycopg.connect(url, autocommit=True) as promoted:
                    wait_until(lambda: count(promoted, "ml.queue") == 0, "it goes on there", timeout_s=30)
                    assert row_of(promoted, waiting, "model_version") == {"model_version": "small-1"}
                assert worker.process.poll() is None
                assert worker.stop() == 0
                events = [line["event"] for line in worker.lines()]
                assert events[0] == "database_lost"
                assert "worker_started" in events


def _everything_answers(reading: Connection) -> None:
    relations = reading.execute(
        f"select oid::regclass::text from pg_class where relnamespace {IN_SYSTEM} and relkind in ('v', 'r', 'p') "
        "and relpersistence = 'p'"  # questions, of which nothing has to survive, are asked elsewhere
    ).fetchall()
    assert len(relations) > 40
    for (name,) in relations:
        reading.execute(f"select count(*) from {name}".encode())
    for call in (
        "ml.health_json()",
        "ml.metrics_json('hour')",
        "ml.alerts_json()",
        "ml_internal.page_json()",
        "ml.model_at('champion', now())",
    ):
        reading.execute(f"select {call}".encode())
    unlogged = "pg_class where relpersistence = 'u' and relnamespace in ('ml'::regnamespace, 'public'::regnamespace)"
    assert count(reading, unlogged) == 0, "such a table is empty on a standby that takes over"
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        reading.execute("select ml.disable('not here')")
