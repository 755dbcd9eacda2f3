"""A row that kills the process is found and given up; the others are scored."""

from __future__ import annotations

import subprocess
import sys

import psycopg
import pytest

from db_functions.database import Connection
from tests.servers import Server
from tests.support import insert_bars, insert_pattern, make_champion, row_of, wait_until
from tests.worker_support import ROOT, count
from worker.serving import probation
from worker.serving.batch import BatchSettings, ClaimedRows
from worker.serving.engine import Engine
from worker.serving.listener import Signals
from worker.serving.loop import Options, run

_SCRIPT = """
import os, signal, sys
from worker.serving import engine
from worker.serving.listener import Signals
from worker.serving.loop import Options, run

ask = engine.Engine._score_batch

def deadly(self, work, state, *, rescore):
    if any(pattern.symbol == "DEADLY" for pattern in work.patterns):
        os.kill(os.getpid(), signal.SIGKILL)
    return ask(self, work, state, rescore=rescore)

engine.Engine._score_batch = deadly
signals = Signals()
with signals.installed():
    run(Options(poll_interval_s=0.05), signals, url=sys.argv[1])
"""


def start(url: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", _SCRIPT, url], cwd=ROOT, stderr=subprocess.DEVNULL)


def test_a_row_that_kills_is_dead_lettered(server: Server, database: str, connection: Connection) -> None:
    insert_bars(connection)
    make_champion(connection, "small-1")
    good = [insert_pattern(connection) for _ in range(10)]
    deadly = insert_pattern(connection, symbol="DEADLY")
    good += [insert_pattern(connection) for _ in range(10)]

    starts = 0
    while True:
        process = start(database)
        starts += 1
        try:
            # It either dies of the row, or gives the row up and empties the queue.
            wait_until(
                lambda process=process: (
                    process.poll() is not None  # type: ignore[misc]
                    or connection.execute("select count(*) from ml.queue").fetchone() == (0,)
                ),
                "death or an empty queue",
            )
        finally:
            alive = process.poll() is None
            if alive:
                process.terminate()
            process.wait(20)
        if alive:
            break
        assert starts < 12, "the row kills for ever"

    assert starts == probation.DEATHS + 2, "once in a crowd, then alone, then given up"
    failed = connection.execute("select pattern_id::text, attempts from ml.failures").fetchall()
    assert failed == [(deadly, probation.DEATHS)]
    assert row_of(connection, deadly, "ml_metadata")["ml_metadata"]["reason"] == "failed"
    scored = connection.execute("select count(*) from pattern_events where scored_at is not null").fetchone()
    assert scored == (len(good),)
    assert connection.execute("select count(*) from ml.predictions").fetchone() == (len(good),)
    assert connection.execute("select count(*) from ml_internal.suspects").fetchone() == (0,)


class Death(BaseException):
    """What a kill leaves of a transaction: nothing."""


def test_a_process_at_fault_itself_blames_no_single_row(
    connection: Connection, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed whatever it scores, by a limit of memory say: each time another row is in hand, since marked ones wait."""
    for _ in range(4):
        insert_pattern(connection)

    def dies(*_: object, **__: object) -> int:
        raise Death

    with psycopg.connect(database, autocommit=True) as mine:
        with monkeypatch.context() as faulty:
            faulty.setattr(Engine, "_score_batch", dies)
            for _ in range(4):
                with pytest.raises(Death):
                    probation.serve(Engine(mine), connection, Signals())
        assert connection.execute("select attempts from ml_internal.suspects").fetchall() == [(1,)] * 4
        assert probation.serve(Engine(mine), connection, Signals()) == 0
    assert (
        count(connection, "ml_internal.suspects")
        == count(connection, "ml.failures")
        == count(connection, "ml.queue")
        == 0
    )


def test_a_row_that_killed_comes_last(connection: Connection, database: str) -> None:
    patterns = [insert_pattern(connection) for _ in range(3)]
    (killer,) = connection.execute("select id from ml.queue order by id limit 1").fetchone() or (0,)
    for queue_id in [killer] * probation.DEATHS + [killer + 1_000]:
        connection.execute("select ml_internal.mark_suspect(%s)", [queue_id])
    with psycopg.connect(database, autocommit=True) as mine:
        assert probation.serve(Engine(mine), connection, Signals()) == 1
    assert connection.execute("select pattern_id::text from ml.failures").fetchall() == [(patterns[0],)]
    newest = connection.execute("select id::text from pattern_events order by xmin::text::bigint desc limit 1")
    assert newest.fetchone() == (patterns[0],), "others first: they show that this process can score"
    assert count(connection, "ml_internal.suspects") == 0, "marks of rows that are gone are forgotten"


def test_the_row_in_hand_is_the_one_that_is_marked(
    connection: Connection, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever else is at work, on probation too: to mark one row and score another would blame the innocent."""
    for _ in range(3):
        insert_pattern(connection)
    first, second, third = (row[0] for row in connection.execute("select id from ml.queue order by id").fetchall())
    seen = []
    ask = Engine._score_batch

    def look(self: Engine, work: ClaimedRows, state: BatchSettings, *, rescore: bool) -> int:
        marked = connection.execute("select queue_id from ml_internal.suspects").fetchall()
        seen.append((work.queue_ids, [row[0] for row in marked]))
        return ask(self, work, state, rescore=rescore)

    monkeypatch.setattr(Engine, "_score_batch", look)
    with psycopg.connect(database) as other, psycopg.connect(database, autocommit=True) as mine:
        other.execute("select from ml.queue where id = %s for update", [first])
        assert probation.serve(Engine(mine), connection, Signals()) == 0
    assert seen == [([second], [second]), ([third], [third])]
    assert count(connection, "ml_internal.suspects") == 0


def test_a_clean_stop_means_no_probation(connection: Connection) -> None:
    first = connection.execute(
        "select ml_internal.start_worker(%s, 999999, 'test', 'worker')", ["elsewhere"]
    ).fetchone()
    mine = connection.execute("select ml_internal.start_worker('x', 1, 'test', 'worker')").fetchone()
    assert first is not None
    assert mine is not None
    assert not probation.unclean(connection, mine[0]), "another host's processes are its own affair"


def test_a_heavy_worker_asks_to_start_afresh(database: str) -> None:
    signals = Signals()
    assert run(Options(max_resident_bytes=1), signals, url=database)
