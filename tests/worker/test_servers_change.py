"""What servers and administrators do to a worker: no free connection, a downgrade, another server behind a pooler."""

from __future__ import annotations

import time

import pytest

from db_functions.database import Connection
from tests.conftest import downgrade
from tests.support import insert_bars, insert_pattern, make_champion, row_of, wait_until
from tests.worker_support import FAST, count, process, working
from worker.serving import loop
from worker.serving.marks import RESCAN_S

pytestmark = pytest.mark.compat


def test_a_worker_waits_for_a_free_connection(connection: Connection, database: str) -> None:
    """At its start, and again when all others have come back before it."""
    make_champion(connection, "one")
    name = connection.info.dbname
    connection.execute("do $$ begin create role a_worker login; exception when duplicate_object then null; end $$")
    connection.execute("grant ml_worker to a_worker")
    url = database.replace("postgres@", "a_worker@")
    connection.execute(f"alter database {name} connection limit 0".encode())
    with process(url, "run") as worker:
        wait_until(lambda: "database_lost" in worker.stderr(), "it is refused")
        connection.execute(f"alter database {name} connection limit -1".encode())
        first = insert_pattern(connection)
        wait_until(lambda: row_of(connection, first, "ml_metadata")["ml_metadata"]["reason"] != "pending", "scored", 30)
        connection.execute(f"alter database {name} connection limit 1".encode())
        connection.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'a_worker'")
        wait_until(lambda: worker.stderr().count("too many connections") > 1, "one connection is too few")
        connection.execute(f"alter database {name} connection limit -1".encode())
        second = insert_pattern(connection)
        wait_until(
            lambda: row_of(connection, second, "ml_metadata")["ml_metadata"]["reason"] != "pending", "scored", 30
        )
        assert worker.stop() == 0


def test_a_downgrade_with_a_worker_at_work(connection: Connection, database: str) -> None:
    insert_bars(connection)
    make_champion(connection, "one")
    with process(database, "run") as worker:
        wait_until(lambda: count(connection, "ml.workers") == 1, "it runs")
        insert_pattern(connection)
        wait_until(lambda: count(connection, "ml.queue") == 0, "scored")
        connection.execute("delete from pattern_events")
        connection.execute("delete from price_bars")
        downgrade(database)
        assert worker.wait(40) == 1
        assert worker.lines()[-1]["event"] == "ended_with_error"


def test_another_server_behind_the_same_connection(
    connection: Connection, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A standby that lost the last commits took over behind a pooler: ids of the queue begin lower again."""
    with working(database, FAST):
        for rows in (50, 1, 1, 1):  # the mark passes a row two looks later
            for _ in range(rows):
                insert_pattern(connection)
            wait_until(lambda: count(connection, "ml.queue") == 0, "they are done")
            time.sleep(RESCAN_S)
        connection.execute("alter sequence ml.queue_id_seq restart with 20")
        monkeypatch.setattr(loop, "server_of", lambda _: "another")
        for _ in range(40):
            insert_pattern(connection)
        wait_until(lambda: count(connection, "ml.queue") == 0, "those below the old mark, too", 10)
