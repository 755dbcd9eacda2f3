"""Claim, horizon and write stay index scans, whatever the tables grow to, with plans cached while they were small.

QUEUE_PLAN_ROWS sets the larger size (100,000 by default).
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest

from db_functions import sessions
from db_functions.database import Connection, connect
from db_functions.queries import query
from tests.support import insert_bars, make_champion
from worker.serving.engine import Engine, prepare

pytestmark = pytest.mark.compat

LARGE = int(os.environ.get("QUEUE_PLAN_ROWS", "100000"))
_ROWS = """
insert into pattern_events (symbol, timeframe, pattern_type, detected_at, confidence)
select 'ACME', '1d', 'double_bottom', '2024-05-01', 0.7 from generate_series(1, %s)
"""
_SCANS = {"Seq Scan", "Bitmap Heap Scan", "Hash Join", "Merge Join"}
"""Work that grows with a table; the sort of what was claimed does not."""
_GENERIC = ("set plan_cache_mode = force_generic_plan", "set plan_cache_mode = auto")


@pytest.fixture
def worker(database: str) -> Iterator[Connection]:
    """A session with the settings of a worker."""
    with psycopg.connect(database, autocommit=True) as connected:
        prepare(connected)
        connected.execute("set statement_timeout = 0")
        yield connected


def grow(connection: Connection, rows: int) -> None:
    """To this many rows, all queued; nothing is analysed, so that a plan knows no better than the worker's would."""
    have = connection.execute("select count(*) from ml.queue").fetchone()
    assert have is not None
    connection.execute(_ROWS, [rows - have[0]])


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def explain(connection: Connection, statement: str) -> list[dict[str, Any]]:
    """The nodes of a statement that has been run."""
    with connection.transaction(force_rollback=True):
        row = connection.execute(f"explain (analyze, buffers, format json) {statement}").fetchone()
    assert row is not None
    plan = row[0] if isinstance(row[0], list) else json.loads(row[0])
    return list(nodes(plan[0]["Plan"]))


def positional(name: str, order: tuple[str, ...]) -> str:
    """A named query with $1, $2 ... for PREPARE."""
    text = query(name)
    for number, parameter in enumerate(order, 1):
        text = text.replace(f"%({parameter})s", f"${number}")
    return text


def assert_narrow(found: list[dict[str, Any]], most_rows: int) -> None:
    # These are one row for ever.
    grown = [node for node in found if node.get("Relation Name") not in ("settings", "queue_id_seq")]
    assert not {node["Node Type"] for node in grown} & _SCANS, [node["Node Type"] for node in found]
    scans = [node for node in found if node["Node Type"].startswith("Index")]
    assert scans
    for node in scans:
        # Also what was looked at and thrown away.
        looked_at = (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        assert looked_at <= most_rows, node


@pytest.mark.parametrize("mode", _GENERIC, ids=["generic", "auto"])
def test_the_claim_and_the_horizon(worker: Connection, connection: Connection, mode: str) -> None:
    worker.prepare_threshold = None  # or psycopg would drop every prepared statement with a rollback
    worker.execute(mode)
    worker.execute(f"prepare claim (bigint, bigint) as {positional('claim', ('after', 'limit'))}")
    worker.execute(
        f"prepare alone (bigint, bigint, bigint[]) as {positional('lock_queued', ('after', 'until', 'but'))}"
    )
    worker.execute(
        f"prepare horizon (bigint, bigint, boolean) as {positional('queue_horizon', ('after', 'below', 'prove'))}"
    )
    for rows in (10, 10_000, LARGE):
        grow(connection, rows)
        for _ in range(6):  # more often than it takes to settle on a plan
            worker.execute("execute claim (0, 256)").fetchall()
        last = max(0, rows - 300)
        for after in (0, rows // 2, last):
            claimed = explain(worker, f"execute claim ({after}, 256)")
            assert_narrow(claimed, 256)
            assert claimed[0]["Actual Rows"] == min(256, rows - after)
            # Of each row that it claims a page or three of either table and their indexes.
            assert claimed[0]["Shared Hit Blocks"] + claimed[0]["Shared Read Blocks"] < 256 * 16
            assert_narrow(explain(worker, f"execute horizon ({after}, 1000, true)"), 1)
            assert_narrow(explain(worker, f"execute alone ({after}, {rows}, '{{1,2,3}}')"), 4)


def test_a_whole_batch(worker: Connection, connection: Connection) -> None:
    """Claim, gather, write, delete: what they touch by the server's own counters, in one session all along."""
    insert_bars(connection)
    make_champion(connection, "small-1")
    engine = Engine(worker)
    engine.refresh_model()
    for rows in (10, 10_000, LARGE):
        grow(connection, rows)
        engine.score_queue(1, 0)
        before = touched(worker, connection)
        for _ in range(8):  # more often than it takes to settle on a plan
            engine.score_queue(20, rows // 2)
        after = touched(worker, connection)
        for table, (scans, by_index) in after.items():
            assert scans == before[table][0], f"{table} was scanned at {rows} rows"
            # A row is looked up to claim, to join, to update and to delete it.
            assert by_index - before[table][1] <= 8 * 20 * 6, f"{table}: {by_index - before[table][1]} at {rows} rows"


@pytest.mark.parametrize("pooled", [False, True], ids=["direct", "pooled"])
def test_the_rate_does_not_fall_when_tables_grow(
    database: str, connection: Connection, pooled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plans that were made for two rows, which statistics confirmed, must not meet a hundred thousand."""
    monkeypatch.setattr(sessions, "is_pooled", lambda _: pooled)
    insert_bars(connection)
    make_champion(connection, "small-1")
    with ExitStack() as stack:
        old, new = (
            Engine(stack.enter_context(connect(database, application_name="worker", autocommit=True))) for _ in range(2)
        )
        for engine in (old, new):
            engine.refresh_model()
        grow(connection, 2)
        for _ in range(8):  # more often than it takes to settle on a plan
            connection.execute("vacuum analyze")
            assert old.score_queue(1, 0).done == 1
            connection.execute("insert into ml.queue (pattern_id) select id from pattern_events limit 1")
        grow(connection, LARGE)
        old_rate, after = batches_per_s(old, 0)
        new_rate, _ = batches_per_s(new, after)
    assert old_rate > 0.5 * new_rate


def batches_per_s(engine: Engine, after: int) -> tuple[float, int]:
    """The best rate of some batches after the first four, whatever else the machine does, and the last row claimed."""
    seconds = []
    for _ in range(12):
        began = time.perf_counter()
        result = engine.score_queue(256, after)
        seconds.append(time.perf_counter() - began)
        after = result.claimed_up_to
        assert result.done == 256
    return 1 / min(seconds[4:]), after


def test_a_scan_would_be_seen(connection: Connection) -> None:
    grow(connection, 1_000)
    connection.execute("set enable_indexscan = off; set enable_indexonlyscan = off; set enable_bitmapscan = off")
    connection.prepare_threshold = None
    connection.execute(f"prepare claim (bigint, bigint) as {positional('claim', ('after', 'limit'))}")
    with pytest.raises(AssertionError):
        assert_narrow(explain(connection, "execute claim (0, 256)"), 256)
    before = touched(connection, connection)
    connection.execute("select count(*) from ml.queue")
    assert touched(connection, connection)["queue"][0] > before["queue"][0]


def touched(worker: Connection, connection: Connection) -> dict[str, tuple[int, int]]:
    """Sequential scans, and rows fetched by index, of each table that a batch reads or writes, so far."""
    for session in (worker, connection):  # or the work before would be counted late
        session.execute("select pg_stat_force_next_flush()")
        session.execute("select 1")
    connection.execute("select pg_stat_clear_snapshot()")
    rows = connection.execute(
        "select relname, seq_scan, coalesce(idx_tup_fetch, 0) from pg_stat_user_tables "
        "where relname in ('queue', 'pattern_events', 'predictions_default')"
    ).fetchall()
    return {row[0]: (row[1], row[2]) for row in rows}
