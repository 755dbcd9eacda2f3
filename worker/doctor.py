"""``python -m worker doctor``: the deployment checklist, each line with its remedy.

Nothing stays behind: the smoke row and the rehearsed rollback live in transactions that are rolled back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import psycopg

from db_functions.database import Connection
from db_functions.errors import ScoringError
from db_functions.queries import query
from worker import schema
from worker.champion import fetch
from worker.engine import Engine
from worker.model import first_line

OK, FAIL, SKIP = "ok", "FAIL", "skip"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found; a failure says what to do in ``remedy``."""

    outcome: str
    text: str
    remedy: str = ""


Check = Callable[[Connection], Finding]


def examine(connection: Connection, say: Callable[[str, Finding], None]) -> bool:
    """Run every check; returns whether none failed. Without its schema there is nothing else to ask."""
    well = True
    for name, check in CHECKS:
        try:
            finding = check(connection)
        except psycopg.errors.InsufficientPrivilege as error:
            finding = Finding(SKIP, f"{first_line(error)}; run doctor with a role that may")
        except (psycopg.Error, ScoringError) as error:
            finding = Finding(FAIL, first_line(error), "the message says what the server misses")
        say(name, finding)
        well &= finding.outcome != FAIL
        if name == "schema" and finding.outcome == FAIL:
            break
    return well


def _schema(connection: Connection) -> Finding:
    try:
        schema.require(connection)
    except ScoringError as error:
        return Finding(FAIL, str(error), "alembic upgrade head")
    return Finding(OK, "knows every statement of a worker")


def _roles(connection: Connection) -> Finding:
    row = connection.execute(query("doctor_roles")).fetchone()
    assert row is not None
    missing, works, user = row
    if missing:
        return Finding(FAIL, f"missing: {', '.join(missing)}", f"create role {missing[0]} nologin, as an administrator")
    if not works:
        return Finding(FAIL, f"{user} may not work as a worker", f"grant ml_worker to {user}")
    return Finding(OK, f"all there; {user} may work as a worker")


def _settings(connection: Connection) -> Finding:
    row = connection.execute(query("doctor_settings")).fetchone()
    assert row is not None
    enabled, weighs, benchmark, has_bars = row
    if not enabled:
        return Finding(
            FAIL, "ML is disabled: every row keeps its rule confidence", "python -m worker enable --reason TEXT"
        )
    if not weighs:
        return Finding(FAIL, "both weights are 0, so every blend is 0", "select ml.set('ml_weight', 0.6, 'reason')")
    if not has_bars:
        return Finding(
            FAIL, f"the benchmark {benchmark} has no bars", "load them, or ml.set('benchmark_symbol', '', 'reason')"
        )
    return Finding(OK, "enabled, weights and benchmark make sense")


def _champion_id(connection: Connection) -> int | None:
    row = connection.execute(query("batch_state")).fetchone()
    assert row is not None
    found: int | None = row[3]
    return found


def _champion(connection: Connection) -> Finding:
    if _champion_id(connection) is None:
        return Finding(FAIL, "there is none", "python -m worker promote VERSION --reason TEXT")
    return Finding(OK, "there is one")


def _model(connection: Connection) -> Finding:
    champion = _champion_id(connection)
    if champion is None:
        return Finding(SKIP, "no champion to load")
    try:
        model = fetch(connection, champion)
    except ScoringError as error:
        return Finding(FAIL, str(error), "python -m worker rollback --reason TEXT, or promote another")
    golden = "passes its golden rows here" if model.golden else "has no golden rows; it answers"
    return Finding(OK, f"{model.version} loads and {golden}")


def _backfill(connection: Connection) -> Finding:
    everything = {"rescore": False, "symbol": None, "since": None, "after": "00000000-0000-0000-0000-000000000000"}
    rows = sum(row[1] for row in connection.execute(query("backfill_preview"), everything))
    status = connection.execute(query("status")).fetchone()
    assert status is not None
    left = rows - status[4]
    if left > 0:
        return Finding(FAIL, f"{left:,} rows have no score and wait in no queue", "python -m worker backfill")
    return Finding(OK, "every row has a score, or waits for one")


def _workers(connection: Connection) -> Finding:
    status = connection.execute(query("status")).fetchone()
    assert status is not None
    alive = [worker for worker in status[7] or [] if worker["kind"] == "worker"]
    if not alive:
        return Finding(FAIL, "none is alive", "python -m worker run")
    return Finding(OK, f"{len(alive)} alive")


def _smoke(connection: Connection) -> Finding:
    with connection.transaction(force_rollback=True):
        inserted = connection.execute(query("doctor_insert")).fetchone()
        if inserted is None:
            return Finding(FAIL, "there are no bars to score a row from", "load price_bars")
        row = connection.execute(query("doctor_row"), {"id": inserted[0]}).fetchone()
        if row is None or row[0] is None:
            return Finding(
                FAIL, "an inserted row is not queued", "alter table pattern_events enable trigger ml_enqueue"
            )
        engine = Engine(connection)
        engine.refresh_model()
        engine.score_queue(1, row[0] - 1)
        row = connection.execute(query("doctor_row"), {"id": inserted[0]}).fetchone()
        assert row is not None
        if not row[1]:
            return Finding(FAIL, f"a smoke row was not scored: {row[2]}", "see that reason in docs/applications.md")
        return Finding(OK, f"a smoke row was scored ({row[2]}, {row[3]:.0f} ms) and taken back")


def _views(connection: Connection) -> Finding:
    connection.execute(query("doctor_views"))
    return Finding(OK, "health, metrics, alerts, queue and timeline answer")


def _rollback(connection: Connection) -> Finding:
    with connection.transaction(force_rollback=True):
        try:
            with connection.transaction():
                row = connection.execute(query("rollback"), {"reason": "rehearsed by doctor"}).fetchone()
        except psycopg.DatabaseError as error:
            if error.sqlstate != "ML002":
                raise
            connection.execute(query("disable"), {"reason": "rehearsed by doctor"})
            return Finding(OK, f"{first_line(error)}; switching ML off was rehearsed and taken back")
        assert row is not None
        return Finding(OK, f"a rollback to {row[0]} was rehearsed and taken back")


CHECKS: tuple[tuple[str, Check], ...] = (
    ("schema", _schema),
    ("roles", _roles),
    ("settings", _settings),
    ("champion", _champion),
    ("model", _model),
    ("backfill", _backfill),
    ("workers", _workers),
    ("smoke row", _smoke),
    ("views", _views),
    ("rollback", _rollback),
)
