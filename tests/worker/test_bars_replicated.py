"""Bars that arrive by logical replication, which fires no statement trigger, are heard of all the same."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from db_functions.bars import BarStore
from db_functions.database import Connection
from tests.conftest import upgrade
from tests.servers import Server, running
from tests.support import insert_bars, random_bars, wait_until
from tests.worker.test_bars_heard import COLUMNS, PARTED, is_fresh, misses, read
from worker.operating.checks_bars import check_bars
from worker.operating.finding import OK

pytestmark = [pytest.mark.compat, pytest.mark.slow]

PLAIN = f"create table price_bars ({COLUMNS}, primary key (symbol, timeframe, ts))"


@pytest.fixture(scope="module")
def logical(server: Server) -> Iterator[Server]:
    """A server of this module's own, for what it needs takes a restart."""
    with running(server.source) as own:
        with psycopg.connect(own.url("postgres"), autocommit=True) as connection:
            connection.execute("alter system set wal_level = logical")
        own.restart()
        yield own


@pytest.mark.parametrize("table", [PLAIN, PARTED], ids=["plain", "partitioned"])
def test_every_replicated_change_is_heard(logical: Server, table: str) -> None:
    """The first copy, rows that are inserted, changed, moved and deleted, and TRUNCATE."""
    name = "parted" if table == PARTED else "plain"
    with psycopg.connect(logical.url("postgres"), autocommit=True) as connection:
        connection.execute(f"create database source_{name}")
        connection.execute(f"create database target_{name}")
    with (
        psycopg.connect(logical.url(f"source_{name}"), autocommit=True) as source,
        psycopg.connect(logical.url(f"target_{name}"), autocommit=True) as target,
    ):
        source.execute(PLAIN)
        target.execute(table)
        upgrade(logical.url(f"target_{name}"))
        for k, symbol in enumerate(("ACME", "BOLT")):
            insert_bars(source, random_bars(150, k), symbol=symbol)
        store = BarStore()
        read(store, target)
        _subscribe(logical, source, target, name)
        for statement in (
            "insert into price_bars select 'CORE', '1d', now(), 1, 1, 1, 1, 1",
            "insert into price_bars values ('ACME', '1d', '2024-06-05', 1, 1, 1, 1, 1)",
            "update price_bars set volume = volume + 1 where symbol = 'ACME'",
            "update price_bars set symbol = 'BOLT', ts = ts + interval '1 hour' where symbol = 'ACME'",
            "delete from price_bars where ts > '2024-05-01'",
            "truncate price_bars",
        ):
            source.execute(statement)
            wait_until(lambda: _rows(source) == _rows(target), statement)
            assert is_fresh(store, target), statement
        assert check_bars(target).outcome == OK
        assert misses(store, target) == 0, "it is kept all the same"
        target.execute("alter subscription bars disable; alter subscription bars set (slot_name = none)")
        target.execute("drop subscription bars")


def _subscribe(server: Server, source: Connection, target: Connection, name: str) -> None:
    source.execute("create publication bars for table price_bars")
    source.execute("select pg_create_logical_replication_slot(%s, 'pgoutput')", [name])
    address = f"host={server.host} port={server.port} user={server.user} dbname=source_{name}"
    target.execute(
        f"create subscription bars connection '{address}' publication bars with (create_slot = off, slot_name = {name})"
    )
    wait_until(lambda: _rows(source) == _rows(target), "the first copy")


def _rows(connection: Connection) -> object:
    return connection.execute("select md5(string_agg(b::text, ',' order by symbol, ts)) from price_bars b").fetchone()
