"""The queue's marks and the doorbell: what must never be lost, and two shortcuts that do lose it."""

from __future__ import annotations

import random
import threading
import time
from typing import Any

import psycopg
import pytest

from db_functions.database import Connection
from tests.support import insert_pattern, listen_to_doorbell, wait_until
from tests.worker_support import FAST, SLOW, working
from worker.serving import marks as marks_module
from worker.serving.doorbell import Doorbell
from worker.serving.engine import Engine
from worker.serving.marks import Marks, Proof

pytestmark = pytest.mark.compat


class NaiveMarks(Marks):
    """The shortcut: trust the highest id seen."""

    def look_again(self, _connection: Connection) -> bool:
        self._looked_at = time.monotonic()
        return False


class SnapshotMarks(Marks):
    """The other shortcut: take the bound of a snapshot for a transaction number of one's own."""

    def look_again(self, connection: Connection) -> bool:
        self._looked_at = time.monotonic()
        if self._proving is None:
            (issued,) = connection.execute("select last_value from ml.queue_id_seq").fetchone() or (0,)
            (bound,) = connection.execute(
                "select pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
            ).fetchone() or (0,)
            self._proving = Proof(issued, bound - 1)
        return super().look_again(connection)


class ForgetfulMarks(Marks):
    """The third: leave a transaction out for good."""

    def _go_back(self, _horizon: Any) -> bool:
        return False


def score_all(engine: Engine, marks: Marks) -> int:
    """Drain as the worker does: from the hot mark, then from the proven one, until a full look finds nothing."""
    total = 0
    while True:
        marks.look_again(engine.connection)
        if not (result := engine.score_queue(2, marks.hot)).done:
            return total
        while result.done:
            total += result.done
            marks.claimed(result.claimed_up_to)
            result = engine.score_queue(2, marks.hot)


def late_commit(url: str, engine: Engine, marks: Marks) -> int:
    """A low id whose transaction commits after higher ones were scored; returns how many rows are left behind."""
    with psycopg.connect(url) as late, psycopg.connect(url, autocommit=True) as other:
        for _ in range(3):
            insert_pattern(other)
        score_all(engine, marks)
        insert_pattern(late)
        # Whoever proves from a snapshot alone does it now: the newest transaction holds an id and still runs.
        score_all(engine, marks)
        # Whoever trusts the highest id goes past it now.
        insert_pattern(other)
        score_all(engine, marks)
        late.commit()
        score_all(engine, marks)
        left = other.execute("select count(*) from ml.queue").fetchone()
        assert left is not None
        return int(left[0])


def test_a_row_that_commits_late_is_found(database: str, connection: Connection) -> None:
    assert late_commit(database, Engine(connection), Marks()) == 0


@pytest.mark.parametrize(("marks", "left"), [(Marks, 0), (ForgetfulMarks, 1)])
def test_a_transaction_held_open_holds_no_mark_back(
    database: str, connection: Connection, monkeypatch: pytest.MonkeyPatch, marks: type[Marks], left: int
) -> None:
    """Nor is its row lost, in whatever database of the cluster others are open besides."""
    monkeypatch.setattr(marks_module, "PATIENCE_S", 0.0)
    engine, mark = Engine(connection), marks()
    with psycopg.connect(database) as long, psycopg.connect(database) as longer:
        insert_pattern(long)
        longer.execute("select pg_current_xact_id()")
        for _ in range(5):
            insert_pattern(connection)
        assert score_all(engine, mark) == 5
        assert mark.proven == 6, "past the row that is not to be seen yet"
        assert not mark.complete
        long.commit()
        score_all(engine, mark)
        assert connection.execute("select count(*) from ml.queue").fetchone() == (left,)
        mark.look_again(connection)
        assert mark.proven == 6
    mark.look_again(connection)
    mark.look_again(connection)
    assert mark.complete == (left == 0)


@pytest.mark.parametrize("marks", [NaiveMarks, SnapshotMarks])
def test_the_shortcuts_lose_it(database: str, connection: Connection, marks: type[Marks]) -> None:
    assert late_commit(database, Engine(connection), marks()) == 1


def test_the_mark_advances_when_nobody_is_in_the_way(database: str, connection: Connection) -> None:
    engine, marks = Engine(connection), Marks()
    for _ in range(7):
        insert_pattern(connection)
    assert score_all(engine, marks) == 7
    marks.look_again(connection)

    def proven() -> bool:
        # Somebody else's transaction anywhere on the server may hold the horizon back for a moment.
        marks.look_again(connection)
        return marks.proven == 7

    wait_until(proven, "the proof")


def test_the_mark_waits_for_a_row_that_somebody_holds(database: str, connection: Connection) -> None:
    engine, marks = Engine(connection), Marks()
    for _ in range(4):
        insert_pattern(connection)
    with psycopg.connect(database) as holder:
        holder.execute("select from ml.queue where id = 2 for update")
        assert score_all(engine, marks) == 3
        assert marks.proven < 2
    assert score_all(engine, marks) == 1


def test_muted_writers_do_not_ring_and_are_waited_for(database: str, connection: Connection) -> None:
    doorbell = Doorbell()
    with psycopg.connect(database, autocommit=True) as listening, psycopg.connect(database) as writer:
        listen_to_doorbell(listening)
        for _ in range(60):
            doorbell.claimed(connection)
        assert doorbell.muted
        insert_pattern(writer)  # sees the bell muted, has not committed
        doorbell.release(connection)
        assert not doorbell.settled(connection), "asleep now, the worker would not hear of that row"
        writer.commit()
        wait_until(lambda: doorbell.settled(connection), "settling")
        assert list(listening.notifies(timeout=0.1)) == []
        insert_pattern(writer)
        writer.commit()
        assert len(list(listening.notifies(timeout=5, stop_after=1))) == 1


def test_slow_claims_do_not_mute(connection: Connection) -> None:
    doorbell = Doorbell()
    for _ in range(19):
        doorbell.claimed(connection)
    assert not doorbell.muted, "so few tell nothing yet"
    time.sleep(0.15)
    doorbell.claimed(connection)
    assert not doorbell.muted, "20 rows in 0.15 s"
    assert not doorbell.lingers()
    assert doorbell.pace_s() == 0


def test_few_claims_of_many_rows_mute(connection: Connection) -> None:
    doorbell = Doorbell()
    for _ in range(20):
        time.sleep(0.006)
        doorbell.claimed(connection, 6)
    assert doorbell.muted
    assert doorbell.lingers()


def test_a_long_transaction_does_not_silence_the_worker(database: str, connection: Connection) -> None:
    """It may hold rows that were never rung for, so the worker goes on looking; it must say that it lives."""
    with psycopg.connect(database) as long, working(database, FAST):
        insert_pattern(long)
        for _ in range(5):
            connection.execute(
                "insert into pattern_events (symbol, timeframe, pattern_type, confidence) "
                "select 'ACME', '1d', 'double_bottom', 0.5 from generate_series(1, 2000)"
            )
        wait_until(lambda: connection.execute("select count(*) from ml.queue").fetchone() == (0,), "the drain")
        seen = connection.execute("select clock_timestamp() + interval '0.3 s'").fetchone()
        assert seen is not None
        wait_until(
            lambda: connection.execute("select bool_and(last_seen > %s) from ml.workers", seen).fetchone() == (True,),
            "a later heartbeat",
            5,
        )
        long.commit()
        wait_until(lambda: connection.execute("select count(*) from ml.queue").fetchone() == (0,), "the late row")


def test_while_a_transaction_is_held_open_rows_are_scored_at_once(
    database: str, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker sleeps and hears the bell, and finds also the row that was written while the bell was muted."""
    monkeypatch.setattr(marks_module, "PATIENCE_S", 0.2)
    connection.execute("select ml_internal.mute_doorbell(5000)")
    with psycopg.connect(database) as long, working(database, SLOW):
        insert_pattern(long)
        time.sleep(0.6)
        idle = time.process_time()
        time.sleep(0.5)
        assert time.process_time() - idle < 0.25, "it sleeps"
        insert_pattern(connection)
        wait_until(lambda: connection.execute("select count(*) from ml.queue").fetchone() == (0,), "the lone row", 0.2)
        connection.execute("select ml_internal.mute_doorbell(5000)")
        long.commit()
        wait_until(lambda: connection.execute("select count(*) from ml.queue").fetchone() == (0,), "the late row", 2)


def test_a_clock_set_back_does_not_mute_the_bell_for_an_hour(database: str, connection: Connection) -> None:
    with psycopg.connect(database, autocommit=True) as listening:
        (channel,) = connection.execute("select channel from ml_internal.doorbell").fetchone() or ("",)
        listening.execute(f'listen "{channel}"')
        connection.execute("select ml_internal.mute_doorbell(3600 * 1000)")  # as it looks an hour before
        insert_pattern(connection)
        assert len(list(listening.notifies(timeout=5, stop_after=1))) == 1


def test_what_a_killed_worker_left_unrung_is_settled_at_the_next_start(database: str, connection: Connection) -> None:
    connection.execute("select ml_internal.mute_doorbell(3000)")
    with psycopg.connect(database) as late:
        insert_pattern(late)  # finds the bell muted by a worker that is no more
        with working(database, SLOW):
            time.sleep(0.5)
            late.commit()
            wait_until(
                lambda: connection.execute("select count(*) from ml.queue").fetchone() == (0,), "the late row", 5
            )


def test_without_settling_that_row_waits_for_the_poll(
    database: str, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Doorbell, "settled", lambda _self, _connection: True)
    monkeypatch.setattr(Doorbell, "waits", False)
    connection.execute("select ml_internal.mute_doorbell(3000)")
    with psycopg.connect(database) as late:
        insert_pattern(late)
        with working(database, SLOW):
            time.sleep(0.5)
            late.commit()
            time.sleep(1.5)
            assert connection.execute("select count(*) from ml.queue").fetchone() == (1,)


def test_a_steady_load_rings_seldom(database: str, connection: Connection) -> None:
    rings: list[int] = []
    with psycopg.connect(database, autocommit=True) as listening, working(database, SLOW):
        listen_to_doorbell(listening)
        # A machine that is busy with other things makes pauses in the load, so the quietest of three counts.
        while len(rings) < 3 and min(rings, default=1_000) >= 300:
            for _ in range(1_000):
                insert_pattern(connection)
                time.sleep(0.001)
            wait_until(lambda: connection.execute("select count(*) from ml.queue").fetchone() == (0,), "the drain")
            rings.append(len(list(listening.notifies(timeout=0.2))))
    assert 0 < min(rings) < 300, "without lingering it is nearly every commit"


def test_no_row_waits_for_the_poll(database: str, connection: Connection) -> None:
    """Writers in bursts, with commits held back at random, against workers that fall asleep between them."""

    def write(seed: int) -> None:
        rng = random.Random(seed)
        with psycopg.connect(database) as writer:
            for _ in range(150):
                insert_pattern(writer)
                if rng.random() < 0.2:
                    time.sleep(rng.uniform(0, 0.03))
                writer.rollback() if rng.random() < 0.05 else writer.commit()
                if rng.random() < 0.05:
                    time.sleep(rng.uniform(0, 0.3))

    writers = [threading.Thread(target=write, args=(seed,)) for seed in range(6)]
    with working(database, SLOW), working(database, SLOW):
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        wait_until(
            lambda: connection.execute("select count(*) from ml.queue").fetchone() == (0,), "the drain", timeout_s=15
        )
    slowest = connection.execute(
        "select max(prediction_latency_ms) / 1000, count(*) filter (where ml_metadata ->> 'reason' = 'pending') "
        "from pattern_events"
    ).fetchone()
    assert slowest is not None
    assert slowest[0] < 15, "a row waited for the poll"
    assert slowest[1] == 0
