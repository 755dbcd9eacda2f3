"""What the benchmark of the queue measures is what it says: each row or job done once, ours and the peers'."""

from __future__ import annotations

import psycopg
import pytest

from bench.peers import Peer, peers
from bench.queue import Ours, database, measure
from tests.servers import Server
from tests.worker_support import count

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("peer", peers(), ids=lambda peer: peer.name)
def test_a_peer_does_every_job_once(server: Server, peer: Peer) -> None:
    done: list[str] = []
    with database(server) as url:
        peer.install(url)
        peer.enqueue(url, [str(number) for number in range(30)])
        peer.work(url, done.append, stop_after_s=30)
    assert sorted(done, key=int) == [str(number) for number in range(30)]


def test_ours_is_drained(server: Server) -> None:
    with database(server) as url:
        Ours().install(url)
        Ours().load(url, 600)
        assert Ours().drain(url, 30) > 0
        with psycopg.connect(url) as connection:
            assert count(connection, "ml.queue") == 0
            assert count(connection, "pattern_events where ml_metadata ->> 'reason' = 'no_model'") == 600
    assert measure(server, Ours(), 100, 30, held="writer") > 0
