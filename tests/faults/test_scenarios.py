"""A short run of every scenario of the fault harness, and two shortcuts on which it must go red.

Longer ones: ``python -m tests.faults --help``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from urllib.parse import urlsplit

import psycopg
import pytest

from db_functions.database import Connection, connect
from tests.faults.harness import SCENARIOS, Plan, Report, Scenario, run
from tests.faults.soak import Soak
from tests.servers import Server
from worker.serving.listener import Listener, Signals

RunScenario = Callable[[Plan], Report]


@pytest.fixture
def run_scenario(server: Server, make_database: Callable[[str | None], str], template: str) -> RunScenario:
    """On a database of the test's own; on one server, to save time."""

    def run_on_a_clone(plan: Plan) -> Report:
        return run(plan, server, urlsplit(make_database(template)).path.lstrip("/"))

    return run_on_a_clone


@pytest.mark.parametrize(
    "scenario", ["kill", *(pytest.param(name, marks=pytest.mark.slow) for name in SCENARIOS if name != "kill")]
)
def test_every_row_is_scored_once_or_says_why_not(run_scenario: RunScenario, scenario: str) -> None:
    report = run_scenario(Plan(scenario, seed=20, rows=2_000, seconds=5))
    assert report.wrong == [], report.log[-20_000:]
    assert report.counts["rows committed"] > 1_500
    assert report.counts["rows rolled back"] > 0
    assert "Traceback" not in report.log


_TRUSTING = """
import sys
from worker.serving import marks
from worker.cli import main

def look_again(self, connection):
    pass

marks.Marks.look_again = look_again
sys.exit(main())
"""
"""Claims go on from the highest id seen, as if ids were committed in their order."""

_EAGER = """
import sys
from worker.serving import engine
from worker.cli import main

its_way = engine.Engine._write

def write(self, work, *others, **options):
    # The row goes off the queue in a commit of its own, before its score is written.
    self.connection.execute("delete from ml.queue where id = any (%s)", [work.queue_ids + work.orphans])
    self.connection.execute("commit; begin")
    its_way(self, work, *others, **options)

engine.Engine._write = write
sys.exit(main())
"""
"""Delivery at most once: a row is taken off before its score is committed."""


@pytest.mark.parametrize(
    ("scenario", "program", "said"),
    [("lost_listen", _TRUSTING, "rows left in the queue"), ("kill", _EAGER, "rows still pending")],
    ids=["trusting", "eager"],
)
def test_shortcuts_are_found_out(run_scenario: RunScenario, scenario: str, program: str, said: str) -> None:
    # Trusting marks are not found out by kills: every start begins at the first row again.
    report = run_scenario(Plan(scenario, seed=7, rows=1_500, seconds=4, workers=1, program=program, drain_s=2))
    assert any(said in wrong for wrong in report.wrong), report.wrong


def test_a_lost_listen_is_renewed(connection: Connection, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as other:
        listener = Listener(lambda: other, Signals())
        other.execute("unlisten *")
        assert not listener.hears(connection, 0.2)
        listener.renew()
        assert listener.hears(connection)


def test_a_silent_server_is_given_up(connection: Connection, database: str) -> None:
    with connect(database, application_name="impatient", autocommit=True, answer_timeout_s=0.3) as impatient:
        assert impatient.execute("select pg_sleep(0.1)").fetchone() is not None
        began = time.monotonic()
        with (
            pytest.raises(psycopg.OperationalError, match=r"no answer from the server for 0\.3 s"),
            impatient.transaction(),
        ):
            impatient.execute("select pg_sleep(5)")
        assert time.monotonic() - began < 2
        assert impatient.closed


@pytest.mark.slow
def test_soak_for_a_moment(server: Server, make_database: Callable[[str | None], str], template: str) -> None:
    """The long one is ``python -m tests.faults.soak``; this shows that it measures and that its books balance."""
    step = Soak(look_s=2.0, kill_s=3.0)
    plan = Plan("soak", seed=5, rows=400, seconds=8.0, workers=2, writers=2)
    report = run(plan, server, urlsplit(make_database(template)).path.lstrip("/"), Scenario(step))
    assert report.wrong == []
    assert report.faults["workers killed"] >= 1
    assert len(step.samples) >= 3
    assert all(20 < sample.resident_mb < 1000 for sample in step.samples)
