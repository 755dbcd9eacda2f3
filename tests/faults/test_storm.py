"""A minute of storm, and the books that close it, which must go red on what they are there to find.

An hour: ``python -m tests.faults --scenario storm --seed N --seconds 180`` for some twenty seeds.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from db_functions.database import Connection
from tests.faults import storm_books
from tests.faults.harness import Plan, run
from tests.faults.storm import Storm
from tests.faults.writers import Promised, Promises
from tests.servers import Server
from tests.support import at, insert_bars, insert_pattern, make_champion, register
from worker.serving.engine import Engine


@pytest.mark.slow
def test_a_minute_of_storm(server: Server, make_database: Callable[[str | None], str], template: str) -> None:
    plan = Plan("storm", seed=1, rows=3_000, seconds=40, drain_s=120)
    report = run(plan, server, urlsplit(make_database(template)).path.lstrip("/"), Storm())
    assert report.wrong == [], f"python -m tests.faults --scenario storm --seed {plan.seed}\n{report.log[-20_000:]}"
    assert len(report.faults) > 10
    assert "Traceback" not in report.log


_PAST_TRIGGERS = "set session_replication_role = replica; "
_PLANTED = {
    "committed rows that are gone": "delete from pattern_events where id = (select min(id::text)::uuid from here)",
    "rows that nobody committed": (
        "insert into pattern_events (id, symbol, timeframe, pattern_type, detected_at) "
        "values (gen_random_uuid(), 'ACME', '1d', 'wedge', now())"
    ),
    "rule confidences that are not": "update pattern_events set rule_confidence = 0.123",
    "confidences that are not what their row says": "update pattern_events set confidence = 0.123",
    "blends below their threshold": "update pattern_events set ml_metadata = ml_metadata || '{\"threshold\": 1}'",
    "rows still pending": 'update pattern_events set ml_metadata = \'{"reason": "pending"}\'',
    "rows left in the queue": "insert into ml.queue (pattern_id) select id from here",
    "good rows without a score": "update pattern_events set scored_at = null",
    "rows served more often": "insert into ml.predictions select * from ml.predictions",
    "scores that are not in the log": "update pattern_events set ml_confidence = ml_confidence / 2",
    "another than the champion": "update ml.predictions set model_id = (select id from ml.models where version = 'b')",
    "not challenging": "update ml.predictions set role = 'canary'",
    "scores counted otherwise": "delete from ml_internal.batches",
    "cohorts of another size": "delete from ml_internal.batches",
    "outcomes in the cohorts": "delete from ml_internal.outcome_changes",
}


@pytest.mark.parametrize("found", ["", *_PLANTED])
def test_the_books_find(connection: Connection, found: str) -> None:
    insert_bars(connection)
    register(connection, "b")
    make_champion(connection, "a")
    engine = Engine(connection)
    engine.refresh_model()
    keys = [insert_pattern(connection, detected_at=at(day)) for day in (120, 130, 140)]
    engine.score_queue()
    connection.execute("select ml.label(id, 'positive', 'seen') from pattern_events")
    connection.execute("create temporary table here as select id from pattern_events")
    if found:
        connection.execute(_PAST_TRIGGERS + _PLANTED[found])
    rows = connection.execute("select id from here").fetchall()
    promises = Promises({row[0]: Promised("scored", 0.7) for row in rows})
    assert len(rows) == len(keys)
    _, wrong = storm_books.balance(connection, promises, {}, {}, set())
    assert any(found in line for line in wrong) if found else wrong == []
