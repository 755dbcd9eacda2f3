"""Bars from a physical replica: refused while it lags, read again where the primary has newer ones."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from db_functions.bulk import replica
from db_functions.bulk.driver import How
from db_functions.bulk.replica import VARIABLE, open_replica
from db_functions.database import Connection
from db_functions.errors import ReplicaRefused
from tests.servers import Server
from tests.support import wait_until
from tests.worker.test_backfill import old_rows, ready
from tests.worker_support import count
from worker.operating.backfill import Selection, backfill

__all__ = ["ready"]
pytestmark = pytest.mark.slow


@pytest.fixture
def standby(server: Server, database: str, ready: Connection, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connection]:
    """A standby of the server, made now, that READ_DATABASE_URL names; a superuser's connection to it."""
    monkeypatch.setenv("DATABASE_URL", database)
    control = next(part for part in server.control if part.endswith("pg_ctl"))
    as_user = list(server.control[: server.control.index(control)])
    folder = Path(tempfile.mkdtemp(prefix="standby-"))
    if as_user:
        shutil.chown(folder, as_user[2], as_user[2])
    source = ["-h", server.host, "-p", str(server.port), "-U", server.user]
    backup = [*as_user, str(Path(control).parent / "pg_basebackup"), *source, "-D", str(folder / "data"), "-R"]
    subprocess.run([*backup, "--checkpoint=fast", "--no-sync"], check=True, cwd="/", capture_output=True)
    options = f"-c listen_addresses= -c unix_socket_directories={folder} -c port=5444"
    start = [*as_user, control, "-D", str(folder / "data"), "-w", "-l", str(folder / "log")]
    subprocess.run([*start, "-o", options, "start"], check=True, cwd="/", stdout=subprocess.DEVNULL)
    url = f"postgresql://{server.user}@/{psycopg.conninfo.conninfo_to_dict(database)['dbname']}?host={folder}&port=5444"
    monkeypatch.setenv(VARIABLE, url)
    try:
        with psycopg.connect(url, autocommit=True) as connection:
            yield connection
    finally:
        subprocess.run([*start, "-m", "immediate", "stop"], check=True, cwd="/", stdout=subprocess.DEVNULL)
        shutil.rmtree(folder, ignore_errors=True)


def pause(standby: Connection) -> None:
    standby.execute("select pg_wal_replay_pause()")
    wait_until(lambda: standby.execute("select pg_get_wal_replay_pause_state()").fetchone() == ("paused",), "pause")


def test_bars_come_from_the_replica(ready: Connection, standby: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    old_rows(ready, 600)
    assert backfill(Selection(rescore=True), How()).rows == 600

    read = []
    gather = replica.ReplicaGatherer.gather

    def and_note(self: replica.ReplicaGatherer, *arguments: object, **options: object) -> object:
        found = gather(self, *arguments, **options)  # type: ignore[arg-type]
        read.append(self.reread)
        return found

    monkeypatch.setattr(replica.ReplicaGatherer, "gather", and_note)
    assert backfill(Selection(rescore=True), How(replica=True)).rows == 600
    assert read == [0, 0]
    same = "(select from ml.predictions group by pattern_id, input_hash, float4send(ml_confidence)) p"
    assert count(ready, same) == 600

    # A correction that the replica has not replayed when a page is gathered.
    opened = replica.open_replica

    def and_stop(primary: Connection) -> Connection:
        connection = opened(primary)
        pause(standby)
        ready.execute("update price_bars set high = high * 1.5 where symbol = 'ACME'")
        return connection

    monkeypatch.setattr("worker.operating.backfill.open_replica", and_stop)
    assert backfill(Selection(rescore=True), How(replica=True)).rows == 600
    assert read[2:] == [1, 1], "only the first page has rows of the series"
    assert backfill(Selection(rescore=True), How()).rows == 600
    last_two = (
        "(select from (select *, row_number() over (partition by pattern_id order by scored_at desc) as n "
        "from ml.predictions) p where n <= 2 group by pattern_id, input_hash, float4send(ml_confidence)) p"
    )
    assert count(ready, last_two) == 600, "what the primary alone gives"
    standby.execute("select pg_wal_replay_resume()")


def test_a_replica_that_lags_is_refused(
    ready: Connection, standby: Connection, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica, "PATIENCE_S", 0.2)
    pause(standby)
    ready.execute("update price_bars set volume = volume + 1")
    with pytest.raises(ReplicaRefused, match="behind"):
        open_replica(ready)
    standby.execute("select pg_wal_replay_resume()")
    monkeypatch.setattr(replica, "PATIENCE_S", 20)
    open_replica(ready).close()
    for other in (os.environ["DATABASE_URL"], server.url("postgres")):
        monkeypatch.setenv(VARIABLE, other)
        with pytest.raises(ReplicaRefused, match="no physical replica"):
            open_replica(ready)
