"""``python -m worker doctor``: the deployment checklist, each line with its remedy.

Nothing stays behind: the smoke row and the rehearsed rollback live in transactions that are rolled back. Only with
``--live`` a row is committed, for a worker that runs to score.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import psycopg

from db_functions.database import Connection
from db_functions.errors import HostFault, ScoringError
from db_functions.model import first_line
from db_functions.queries import query
from worker.operating import smoke
from worker.serving import schema
from worker.serving.champion import fetch

OK, FAIL, SKIP = "ok", "FAIL", "skip"
LOCK_TIMEOUT = "5s"
UPGRADE = "alembic upgrade head"
HOST = "memory, processes, or room in a temporary directory of this host; the model is not at fault"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found; a failure says what to do in ``remedy``."""

    outcome: str
    text: str
    remedy: str = ""


Check = Callable[[Connection], Finding]


def examine(connection: Connection, say: Callable[[str, Finding], None], *, live: bool = False) -> bool:
    """Run every check; returns whether none failed. Without its schema there is nothing else to ask."""
    well = True
    for name, check in CHECKS:
        try:
            finding = (_live_smoke if live and check is _smoke else check)(connection)
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
        row = connection.execute(query("doctor_revision")).fetchone()
    except psycopg.errors.UndefinedTable:
        row = None
    found = row[0] if row else "no revision"
    if not row or found < schema.REVISION:
        return Finding(FAIL, f"at {found}, this release needs {schema.REVISION}", UPGRADE)
    try:
        schema.require(connection)
        known = "; knows every statement of a worker"
    except psycopg.errors.InsufficientPrivilege:
        known = ""  # Only a worker's role may plan them; `roles` looks at that.
    except ScoringError as error:
        return Finding(FAIL, f"at {found}, but: {error}", UPGRADE)
    newer = f", newer than this release ({schema.REVISION}), which goes on working" if found > schema.REVISION else ""
    return Finding(OK, f"at {found}{newer}{known}")


def _roles(connection: Connection) -> Finding:
    row = connection.execute(query("doctor_roles")).fetchone()
    assert row is not None
    missing, works, user, strays = row
    if missing:
        return Finding(FAIL, f"missing: {', '.join(missing)}", f"create role {missing[0]} nologin, as an administrator")
    if strays:
        # Triggers tell the system's writes by ml_owner: of another owner's functions no score would stay.
        text = f"ml_owner does not own {len(strays)} objects of schema ml, such as {strays[0]}"
        return Finding(FAIL, text, "restore the dump with its owners, or alter each to owner ml_owner")
    lacking = connection.execute(query("doctor_grants"), {"functions": schema.functions()}).fetchall()
    if lacking:
        return Finding(FAIL, f"{len(lacking)} rights are missing", "; ".join(sql for (sql,) in lacking[:3]))
    if not works:
        return Finding(FAIL, f"{user} may not work as a worker", f"grant ml_worker to {user}")
    return Finding(OK, f"all there, with their rights; {user} may work as a worker")


def _triggers(connection: Connection) -> Finding:
    silent = connection.execute(query("doctor_triggers")).fetchall()
    if silent:
        named = ", ".join(f"{trigger} of {table}" for trigger, table in silent)
        remedy = "; ".join(f"alter table {table} enable trigger {trigger}" for trigger, table in silent)
        return Finding(FAIL, f"disabled: {named}", remedy)
    return Finding(OK, "all of ours fire")


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
    except HostFault as error:
        return Finding(FAIL, str(error), HOST)
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
    try:
        return Finding(OK, f"a smoke row {smoke.rehearse(connection)}")
    except smoke.SmokeFailed as error:
        return Finding(FAIL, str(error), error.remedy)


def _live_smoke(connection: Connection) -> Finding:
    if _workers(connection).outcome != OK:
        finding = _smoke(connection)
        return replace(finding, text=f"no worker is alive to score a live one; {finding.text}")
    row = connection.execute(query("doctor_may_remove")).fetchone()
    if row != (True,):
        return Finding(SKIP, "a live row could not be deleted again; run doctor with a role that may")
    try:
        return Finding(OK, f"a smoke row {smoke.send(connection)}")
    except smoke.SmokeFailed as error:
        return Finding(FAIL, str(error), error.remedy)


def _views(connection: Connection) -> Finding:
    connection.execute(query("doctor_views"))
    return Finding(OK, "health, metrics, alerts, queue and timeline answer")


def _rollback(connection: Connection) -> Finding:
    earlier = None
    with connection.transaction(force_rollback=True):
        connection.execute(f"set local lock_timeout = '{LOCK_TIMEOUT}'".encode())
        try:
            with connection.transaction():
                connection.execute(query("rollback"), {"reason": "rehearsed by doctor"})
        except psycopg.errors.LockNotAvailable:
            return Finding(
                FAIL,
                f"a session has held the champion for {LOCK_TIMEOUT}: no promotion or rollback comes past it",
                "select pid, state, query from pg_stat_activity where pid in "
                "(select pid from pg_locks where locktype = 'advisory')",
            )
        except psycopg.DatabaseError as error:
            if error.sqlstate != "ML002":
                raise
            connection.execute(query("disable"), {"reason": "rehearsed by doctor"})
            return Finding(OK, f"{first_line(error)}; switching ML off was rehearsed and taken back")
        earlier = _champion_id(connection)
    assert earlier is not None
    # Not within the transaction, which scorers wait for.
    try:
        version = fetch(connection, earlier).version
    except HostFault as error:
        return Finding(FAIL, str(error), HOST)
    except ScoringError as error:
        return Finding(FAIL, f"the champion before does not load: {error}", "select ml.retire('VERSION', 'reason')")
    return Finding(OK, f"a rollback to {version}, which loads, was rehearsed and taken back")


CHECKS: tuple[tuple[str, Check], ...] = (
    ("schema", _schema),
    ("roles", _roles),
    ("triggers", _triggers),
    ("settings", _settings),
    ("champion", _champion),
    ("model", _model),
    ("backfill", _backfill),
    ("workers", _workers),
    ("smoke row", _smoke),
    ("views", _views),
    ("rollback", _rollback),
)
