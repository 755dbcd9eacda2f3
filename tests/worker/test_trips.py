"""Trips of a worker over its socket, counted on the way by a proxy that makes each of them long."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from db_functions.database import Connection
from db_functions.gather import Gatherer
from tests.faults.proxy import Proxy
from tests.servers import Server
from tests.support import at, insert_bars, insert_pattern, make_champion, random_bars, wait_until
from tests.worker_support import SLOW, count, working

DELAY_S = 0.03
"""Each way; long beside what either end does in between, so that what travels together is seen together."""


def asleep(proxy: Proxy) -> int:
    """Wait until the worker sleeps; returns the trips so far."""
    before = -1
    while before != proxy.trips:
        before = proxy.trips
        time.sleep(DELAY_S * 6)
    return before


@pytest.mark.compat
def test_a_lone_row_takes_three_trips_and_going_back_to_sleep_two(
    server: Server, connection: Connection, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Gatherer.__init__, "__defaults__", (None, DELAY_S * 4))  # what is known is old at each row
    insert_bars(connection)
    make_champion(connection, "small-1")
    proxy = Proxy(Path(server.host) / f".s.PGSQL.{server.port}", delay_s=DELAY_S)
    name = psycopg.conninfo.conninfo_to_dict(database)["dbname"]
    options = replace(SLOW, upkeep_s={"prune": 3600.0})

    def score(day: int) -> tuple[int, int]:
        """Trips from waking to commit, and from there to sleep."""
        before = asleep(proxy)
        insert_pattern(connection, detected_at=at(day))
        wait_until(lambda: count(connection, "ml.queue") == 0, "it is scored")
        time.sleep(DELAY_S / 2)  # the answer has passed the proxy, and has not reached the worker
        done = proxy.trips
        return done - before, asleep(proxy) - done

    with working(f"postgresql://{server.user}@127.0.0.1:{proxy.port}/{name}", options):
        score(199)  # reads what a worker keeps
        assert score(199) == (2, 1)
        insert_bars(connection, random_bars(1, seed=1), days=[200])
        assert score(200) == (3, 1), "and the new bar"
    proxy.close()
