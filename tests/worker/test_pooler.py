"""Behind PgBouncer: applications always may be; a worker may, but polls and says so, and leaves nothing behind."""

from __future__ import annotations

import logging
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from db_functions.asking import score
from db_functions.database import Connection
from db_functions.sessions import is_pooled
from tests.hostile import set_hostile_defaults
from tests.servers import Server
from tests.support import at, insert_bars, insert_pattern, make_champion, register, row_of, wait_until
from tests.worker_support import FAST, SLOW, count, working
from worker.cli import main
from worker.http.store import Store

PGBOUNCER = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
pytestmark = pytest.mark.skipif(PGBOUNCER is None, reason="pgbouncer is not installed")

Pool = Callable[[str, str], str]


@pytest.fixture
def pool(server: Server) -> Iterator[Pool]:
    """Starts a pooler before a database in a pool mode; gives the URL through it."""
    with ExitStack() as stack:

        def start(url: str, mode: str) -> str:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pool-")))
            # It refuses to run as root; whoever owns the server's socket can reach it.
            owner = Path(server.host).stat()
            shutil.chown(folder, owner.st_uid, owner.st_gid)
            config = folder / "pgbouncer.ini"
            config.write_text(
                f"[databases]\n* = host={server.host} port={server.port} user={server.user}\n"
                f"[pgbouncer]\nlisten_port = 6432\nunix_socket_dir = {folder}\nlisten_addr =\nauth_type = any\n"
                f"pool_mode = {mode}\ndefault_pool_size = 8\nserver_round_robin = 1\n"
                "server_idle_timeout = 5\nlogfile =\npidfile =\n"
            )
            process = subprocess.Popen(
                [str(PGBOUNCER), "-q", str(config)],
                user=owner.st_uid, group=owner.st_gid, extra_groups=[], cwd="/",
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            stack.callback(process.wait)
            stack.callback(process.terminate)
            wait_until(lambda: _listens(folder / ".s.PGSQL.6432"), "the pooler listens")
            name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
            return f"postgresql://{server.user}@/{name}?host={folder}&port=6432"

        yield start


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


@pytest.fixture
def ready(connection: Connection) -> Connection:
    insert_bars(connection)
    make_champion(connection, "small-1")
    return connection


def scored(connection: Connection, pattern: str) -> bool:
    return row_of(connection, pattern, "scored_at")["scored_at"] is not None


def test_an_application_behind_a_pooler_rings_the_worker(ready: Connection, database: str, pool: Pool) -> None:
    url = pool(database, "transaction")
    with working(database, SLOW), psycopg.connect(url, autocommit=True, prepare_threshold=None) as application:
        for _ in range(3):
            pattern = insert_pattern(application)
            wait_until(lambda pattern=pattern: scored(ready, pattern), "the ring came through", 5)  # type: ignore[misc]


@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_a_worker_behind_a_pooler(
    ready: Connection, database: str, pool: Pool, caplog: pytest.LogCaptureFixture, mode: str
) -> None:
    url = pool(database, mode)
    with caplog.at_level(logging.WARNING), working(url, FAST):
        # More than psycopg waits for before it prepares a statement, which such a pooler would lose.
        for _ in range(15):
            pattern = insert_pattern(ready)
            wait_until(lambda pattern=pattern: scored(ready, pattern), "it is found", 10)  # type: ignore[misc]
        settings = left_behind(url)
    warnings = [record.getMessage() for record in caplog.records if record.name == "worker.serving.loop"]
    if mode == "transaction":
        assert len(warnings) == 1
        assert "doorbell" in warnings[0]
    else:
        assert warnings == []
    assert settings == {("on", "on", "0", "0")}


def left_behind(url: str) -> set[tuple[str, ...]]:
    """Settings of the server connections that the pooler lends to applications."""
    with ExitStack() as stack:
        others = [stack.enter_context(psycopg.connect(url, autocommit=True, prepare_threshold=None)) for _ in range(3)]
        found = set()
        for other in others * 3:
            row = other.execute(
                "select current_setting('jit'), current_setting('enable_seqscan'), "
                "current_setting('statement_timeout'), current_setting('lock_timeout')"
            ).fetchone()
            assert row is not None
            found.add(tuple(row))
        return found


@pytest.mark.slow
def test_questions_through_a_pooler(ready: Connection, database: str, pool: Pool) -> None:
    """The application behind one that shares sessions, then the worker, too."""
    url = pool(database, "transaction")
    pattern = {"symbol": "ACME", "timeframe": "1d", "pattern_type": "flag", "detected_at": at(150), "confidence": 0.7}
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as application:
        for behind, options in ((database, SLOW), (url, FAST)):
            with working(behind, options):
                answers = [score(application, [pattern, pattern])[0] for _ in range(15)]
                assert {(answer.reason, answer.ml_confidence) for answer in answers} == {
                    ("scored", answers[0].ml_confidence)
                }
    assert left_behind(url) == {("on", "on", "0", "0")}


def test_in_session_mode_the_ring_is_heard(ready: Connection, database: str, pool: Pool) -> None:
    with working(pool(database, "session"), SLOW):
        pattern = insert_pattern(ready)
        wait_until(lambda: scored(ready, pattern), "the ring is heard", 10)


def test_backfill_behind_a_pooler(
    ready: Connection,
    database: str,
    pool: Pool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for _ in range(20):
        insert_pattern(ready)
    ready.execute("truncate ml.queue")
    url = pool(database, "transaction")
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setattr("worker.operating.backfill.PAGE", 2)
    assert main(["backfill"]) == 0
    assert capsys.readouterr().out.startswith("20 rows done")
    assert count(ready, "ml.predictions") == 20
    assert left_behind(url) == {("on", "on", "0", "0")}


def test_http_and_doctor_behind_a_pooler(
    ready: Connection, database: str, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As little stays behind: the next one to be lent a connection may write, and waits as long as it likes."""
    url = pool(database, "transaction")
    store = Store(url)
    store.open()
    try:
        for _ in range(15):
            assert store.value("health_json")["champion"] == "small-1"
            assert store.value("page_json")["limits"]
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            store.value("disable", {"reason": "a reading connection writes nothing"})
    finally:
        store.close()
    monkeypatch.setenv("DATABASE_URL", url)
    main(["doctor"])
    assert left_behind(url) == {("on", "on", "0", "0")}
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as application:
        for _ in range(10):
            insert_pattern(application)


def test_a_pooler_is_told_from_a_server(connection: Connection, database: str, pool: Pool) -> None:
    assert not is_pooled(connection)
    with psycopg.connect(pool(database, "transaction"), autocommit=True) as other:
        assert is_pooled(other)


def test_hostile_defaults_behind_a_pooler(
    ready: Connection, database: str, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_hostile_defaults(ready)
    url = pool(database, "transaction")
    with working(url, FAST):
        for _ in range(15):
            insert_pattern(ready)
        wait_until(lambda: count(ready, "pattern_events where model_version = 'small-1'") == 15, "scored", 20)
    register(ready, "small-2")
    monkeypatch.setenv("DATABASE_URL", url)
    assert main(["promote", "small-2", "--reason", "a test"]) == 0
    assert main(["backfill", "--rescore"]) == 0
    assert count(ready, "pattern_events where model_version = 'small-2'") == 15
