"""Locks and channels that take a right, and waits that hold up nobody else."""

from __future__ import annotations

import time
from pathlib import Path

import psycopg
import pytest

from db_functions.database import Connection
from tests.conftest import upgrade
from tests.servers import Server, running
from tests.sql_support import IN_SYSTEM, write_scores
from tests.support import at, insert_pattern, listen_to_doorbell, make_champion, register, row_of, wait_until
from tests.worker_support import SLOW, count, working

pytestmark = pytest.mark.compat


def stranger(connection: Connection, server: Server, database: str) -> Connection:
    """A session of a role that has no right but to connect."""
    connection.execute("do $$ begin create role passer_by login; exception when duplicate_object then null; end $$")
    return psycopg.connect(database, user="passer_by", autocommit=True)


def sqlstate(connection: Connection) -> bytes | None:
    """How a query that was sent by hand has ended."""
    first = connection.pgconn.get_result()
    assert first is not None
    while connection.pgconn.get_result() is not None:
        pass
    return first.error_field(psycopg.pq.DiagnosticField.SQLSTATE)


def hashed(key: str) -> str:
    return f"select pg_advisory_lock(hashtext('{key}'))"


def test_a_role_without_rights_stops_neither_scores_nor_promotions(
    connection: Connection, database: str, server: Server
) -> None:
    make_champion(connection, "a")
    register(connection, "b")
    pattern = insert_pattern(connection)
    connection.execute("set statement_timeout = '5s'")
    keys = ("ml.champion", "ml_internal.fold", "ml_internal.make_partitions")
    with stranger(connection, server, database) as other:
        for key in keys:
            other.execute(hashed(key).encode())
        with pytest.raises(psycopg.errors.InsufficientPrivilege), other.transaction():
            other.execute("lock table ml_internal.gate in access share mode")
        write_scores(connection, [pattern], [0.8])
        assert connection.execute("select ml.promote('b', 'test')").fetchone() == ("b",)
        assert connection.execute("select ml_internal.fold()").fetchone() != (0,)
        connection.execute("select ml_internal.make_partitions()")


def test_no_function_takes_a_lock_that_every_role_may_take(transaction: Connection) -> None:
    found = transaction.execute(
        f"select proname from pg_proc where pronamespace {IN_SYSTEM} and prosrc ~ 'hashtext|advisory'"
    ).fetchall()
    assert found == []


def test_one_session_at_a_time_does_a_task(database: str, connection: Connection) -> None:
    with psycopg.connect(database) as other:
        assert other.execute("select ml_internal.take_task('fold')").fetchone() == (True,)
        assert connection.execute("select ml_internal.take_task('fold')").fetchone() == (False,)
        assert connection.execute("select ml_internal.take_task('check_alerts')").fetchone() == (True,)
    assert connection.execute("select ml_internal.take_task('fold')").fetchone() == (True,)
    with pytest.raises(psycopg.errors.InvalidParameterValue):
        connection.execute("select ml_internal.take_task('folds')")


def test_scores_go_on_while_a_promotion_waits_for_a_writer_that_hangs(database: str, connection: Connection) -> None:
    make_champion(connection, "a")
    register(connection, "b")
    with psycopg.connect(database) as hung, psycopg.connect(database) as operator:
        hung.execute("lock table ml_internal.gate in row share mode")
        operator.execute("set lock_timeout = '4s'")
        operator.pgconn.send_query(b"select ml.promote('b', 'test')")
        longest, ends = 0.0, time.monotonic() + 15
        while operator.pgconn.is_busy() and time.monotonic() < ends:
            pattern = insert_pattern(connection)
            began = time.monotonic()
            write_scores(connection, [pattern], [0.8])
            longest = max(longest, time.monotonic() - began)
            operator.pgconn.consume_input()
        assert sqlstate(operator) == b"55P03"
        assert longest < 3, "behind the promotion it would be 4"
    assert connection.execute("select version from ml_internal.champion").fetchone() == ("a",)
    assert connection.execute("select ml.promote('b', 'test')").fetchone() == ("b",)


def test_the_time_to_wait_for_locks_is_left_as_it_was(connection: Connection) -> None:
    make_champion(connection, "a")
    register(connection, "b")
    with connection.transaction():
        connection.execute("set local lock_timeout = '3s'")
        connection.execute("select ml.promote('b', 'test')")
        assert connection.execute("show lock_timeout").fetchone() == ("3s",)


def test_reblending_opens_the_gate_again(database: str, connection: Connection) -> None:
    make_champion(connection, "a")
    pattern = insert_pattern(connection)
    with psycopg.connect(database) as operator:
        operator.execute("select * from ml.reblend(reason => 'test', dry_run => false)")
        connection.execute("set lock_timeout = '1s'")
        write_scores(connection, [pattern], [0.8])


def old_month(connection: Connection) -> None:
    connection.execute(
        "create table ml.predictions_2020_01 partition of ml.predictions "
        "for values from ('2020-01-01 00:00+00') to ('2020-02-01 00:00+00')"
    )


def test_a_month_that_is_being_read_is_dropped_the_next_time(database: str, connection: Connection) -> None:
    make_champion(connection, "a")
    old_month(connection)
    drop = "select ml_internal.drop_partitions()"
    with psycopg.connect(database) as reader, psycopg.connect(database, autocommit=True) as upkeep:
        reader.execute("select count(*) from ml.predictions")
        upkeep.pgconn.send_query(drop.encode())
        pattern = insert_pattern(connection)
        began = time.monotonic()
        write_scores(connection, [pattern], [0.8])
        assert time.monotonic() - began < 1
        assert sqlstate(upkeep) is None
        assert connection.execute("select type from ml_internal.alert_server").fetchall() == [("partition_overdue",)]
    assert connection.execute(drop.encode()).fetchone() == (1,)
    assert count(connection, "ml_internal.alert_server") == 0


def test_months_that_nobody_made_are_alerted_and_still_forgotten_in_time(connection: Connection) -> None:
    make_champion(connection, "a")
    names = connection.execute(
        "select relname from pg_class c join pg_inherits i on i.inhrelid = c.oid "
        "where i.inhparent = 'ml.predictions'::regclass and relname <> 'predictions_default'"
    ).fetchall()
    for (name,) in names:
        connection.execute(f"drop table ml.{name}".encode())
    write_scores(connection, [insert_pattern(connection)], [0.8])
    assert count(connection, "ml.predictions_default") == 1
    assert connection.execute("select type from ml_internal.alert_server").fetchall() == [("partition_missing",)]
    connection.execute("update ml.predictions_default set scored_at = '2020-01-15'")
    connection.execute("select ml_internal.drop_partitions(), ml_internal.make_partitions()")
    assert count(connection, "ml.predictions_default") == 0
    assert count(connection, "ml_internal.alert_server") == 0


def test_a_stranger_cannot_wake_workers(connection: Connection, database: str, server: Server) -> None:
    make_champion(connection, "a")
    with psycopg.connect(database, autocommit=True) as listening, stranger(connection, server, database) as other:
        listen_to_doorbell(listening)
        for channel in ("ml_queue", "ml_model", "ml_settings", "ml_scored"):
            other.execute(f"notify {channel}".encode())
        assert list(listening.notifies(timeout=0.2)) == []
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            other.execute("select channel from ml_internal.doorbell")


@pytest.fixture
def small_queue(server: Server) -> Server:
    if server.version < 170000:
        pytest.skip("the queue of notifications has a fixed size of 8 GB before 17")
    return server


def test_an_insert_never_fails_for_a_full_queue_of_notifications(small_queue: Server) -> None:
    with running(small_queue.source) as own:
        with psycopg.connect(own.url("postgres"), autocommit=True) as connection:
            connection.execute("alter system set max_notify_queue_pages = 64")
        own.restart()
        url = own.url("postgres")
        upgrade(url)
        with psycopg.connect(url, autocommit=True) as connection, psycopg.connect(url) as idle:
            make_champion(connection, "a")
            idle.execute("listen anything")
            idle.commit()
            idle.execute("select 1")
            with pytest.raises(psycopg.errors.ProgramLimitExceeded):
                fill_queue(connection)
            pattern = insert_pattern(connection)
            register(connection, "b")
            connection.execute("select ml.promote('b', 'test', true)")
            connection.execute("select ml.set('announce', 'on', 'test')")
            assert connection.execute("select type, level from ml_internal.alert_server").fetchall() == [
                ("notifications_full", "critical")
            ]
            with working(url):
                wait_until(
                    lambda: row_of(connection, pattern, "ml_metadata")["ml_metadata"]["reason"] != "pending", "it"
                )


def test_a_flooded_doorbell_costs_neither_memory_nor_rows(database: str, connection: Connection) -> None:
    def score_one() -> None:
        pattern = insert_pattern(connection, detected_at=at(150))
        wait_until(
            lambda: row_of(connection, pattern, "ml_metadata")["ml_metadata"]["reason"] != "pending", "scored", 10
        )

    make_champion(connection, "a")
    with psycopg.connect(database, autocommit=True) as flooding, working(database, SLOW):
        (channel,) = flooding.execute("select channel from ml_internal.doorbell").fetchone() or ("",)
        score_one()  # the model is in memory
        before = resident_kb()
        flooding.execute(
            "select count(pg_notify(%s, n || repeat('x', 900))) from generate_series(1, 150000) n", [channel]
        )
        score_one()
        assert resident_kb() - before < 60_000


def fill_queue(connection: Connection) -> None:
    """Notify until it fails."""
    for _ in range(1_000):
        connection.execute("select pg_notify('anything', repeat('x', 7000))")


def resident_kb() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
