"""What the benchmark of the queue measures is what it says: each row or job done once, ours and the peers'."""

from __future__ import annotations

import psycopg
import pytest

from bench.claims import _ROWS
from bench.engine import NoMarks, drain
from bench.harness import unwatched_bars
from bench.peers import PEERS, Peer, steady_rate
from db_functions.database import Connection
from tests.support import insert_bars
from tests.worker_support import count
from worker.serving.engine import Engine
from worker.serving.marks import Marks

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_a_peer_does_every_job_once(database: str, peer: Peer) -> None:
    peer.install(database)
    with psycopg.connect(database, autocommit=True) as connection:
        row = connection.execute("select array_agg(gen_random_uuid()) from generate_series(1, 30)").fetchone()
        assert row is not None
        connection.execute("select bench.defer(%s)", [row[0]])
    done: list[str] = []
    peer.work(database, done.append, stop_after_s=30)
    assert sorted(done) == sorted(map(str, row[0]))


@pytest.mark.parametrize("marks", [Marks, NoMarks])
def test_ours_is_drained(database: str, marks: type[Marks]) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(_ROWS, [600])
        engine = Engine(connection)
        engine.refresh_model()
        assert drain(engine, marks(), rows=256) == 256
        assert drain(engine, marks()) == 344
        assert count(connection, "ml.queue") == 0
        assert count(connection, "pattern_events where ml_metadata ->> 'reason' = 'no_model'") == 600
        connection.execute(_ROWS, [10])
        drain(engine, mark := marks())
        assert (mark.hot > 0) == (marks is Marks)


def test_a_rate_is_of_the_jobs_after_the_first() -> None:
    assert steady_rate([10.0, 10.5, 11.0]) == 2.0
    assert steady_rate([10.0]) == 0.0


def test_bars_that_nobody_watched_leave_the_triggers_as_they_were(connection: Connection) -> None:
    """Else workers keep no bars, and what the benchmark measures is something else."""
    triggers = "select tgname, tgenabled from pg_trigger where tgrelid = 'price_bars'::regclass order by tgname"
    before = connection.execute(triggers).fetchall()
    with unwatched_bars(connection):
        insert_bars(connection)
        assert connection.execute("select count(*) from ml_internal.bar_changes").fetchone() == (0,)
    assert connection.execute(triggers).fetchall() == before
