"""``python -m worker doctor``: the deployment checklist, each failure with its remedy.

Nothing stays behind: the smoke row and the rehearsed rollback are rolled back. Only ``--live`` commits a row, for a
running worker to score.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import psycopg
from psycopg.rows import class_row

from db_functions.database import Connection
from db_functions.errors import HostFault, PromotionRefused, ScoringError, first_line
from db_functions.queries import fetch_all, fetch_row, fetch_value, fetch_values, query
from db_functions.sessions import begin_rehearsal
from worker.operating import smoke
from worker.operating.backfill import Selection, preview
from worker.operating.checks_bars import check_bars
from worker.operating.finding import FAIL, OK, SKIP, Finding
from worker.operating.status import read_status
from worker.serving import schema
from worker.serving.batch import BatchSettings
from worker.serving.loading import fetch

LOCK_TIMEOUT_MS = 5_000
UPGRADE = "alembic upgrade head"
HOST = "free memory, processes, or room in the temporary directory of this host; the model is not at fault"


Check = Callable[[Connection], Finding]


def examine(connection: Connection, say: Callable[[str, Finding], None], *, live: bool = False) -> bool:
    """Run every check; returns whether none failed. Without the schema no other check makes sense."""
    well = True
    for name, check in CHECKS:
        try:
            finding = (_live_smoke if live and check is _smoke else check)(connection)
        except psycopg.errors.InsufficientPrivilege as error:
            finding = Finding(SKIP, f"{first_line(error)}; run doctor with a role that has this right")
        except (psycopg.Error, ScoringError) as error:
            finding = Finding(FAIL, first_line(error), "the message says what the server lacks")
        say(name, finding)
        well &= finding.outcome != FAIL
        if name == "schema" and finding.outcome == FAIL:
            break
    return well


def _schema(connection: Connection) -> Finding:
    try:
        found = fetch_value(connection, "doctor_revision")
    except psycopg.errors.UndefinedTable:
        found = None
    if found is None or found < schema.REVISION:
        return Finding(FAIL, f"at {found or 'no revision'}, this release needs {schema.REVISION}", UPGRADE)
    try:
        schema.require(connection)
        known = "; knows every statement of a worker"
    except psycopg.errors.InsufficientPrivilege:
        known = ""  # only a worker's role may plan them; `roles` looks at that
    except ScoringError as error:
        return Finding(FAIL, f"at {found}, but: {error}", UPGRADE)
    newer = f", newer than this release ({schema.REVISION}), which still works" if found > schema.REVISION else ""
    return Finding(OK, f"at {found}{newer}{known}")


@dataclass(frozen=True, slots=True)
class _Roles:
    """The row of ``doctor_roles``."""

    missing: list[str] | None
    may_work: bool
    user_name: str
    strays: list[str] | None
    """What is in schemas ml and ml_internal and has not the owner that it should have."""


def _roles(connection: Connection) -> Finding:
    roles = fetch_row(connection, "doctor_roles", _Roles)
    if roles.missing:
        remedy = f"create role {roles.missing[0]} nologin, as an administrator"
        return Finding(FAIL, f"missing: {', '.join(roles.missing)}", remedy)
    if roles.strays:
        # Triggers recognise the system's writes by ml_writer: a score that another's function writes is discarded.
        text = f"{len(roles.strays)} objects of the system have another owner than theirs, such as {roles.strays[0]}"
        return Finding(FAIL, text, "restore the dump with its owners, or alter each to owner ml_owner")
    lacking = fetch_values(connection, "doctor_grants", {"functions": schema.functions()})
    if lacking:
        return Finding(FAIL, f"{len(lacking)} rights are missing", "; ".join(lacking[:3]))
    if not roles.may_work:
        return Finding(FAIL, f"{roles.user_name} may not work as a worker", f"grant ml_worker to {roles.user_name}")
    return Finding(OK, f"all exist, with their rights; {roles.user_name} may work as a worker")


@dataclass(frozen=True, slots=True)
class _Trigger:
    """A row of ``doctor_triggers``: a trigger of the system that does not fire."""

    trigger: str
    on_table: str


def _triggers(connection: Connection) -> Finding:
    silent = fetch_all(connection, "doctor_triggers", class_row(_Trigger))
    if silent:
        named = ", ".join(f"{one.trigger} of {one.on_table}" for one in silent)
        remedy = "; ".join(f"alter table {one.on_table} enable trigger {one.trigger}" for one in silent)
        return Finding(FAIL, f"disabled: {named}", remedy)
    return Finding(OK, "every trigger of the system fires")


@dataclass(frozen=True, slots=True)
class _ForeignTriggers:
    """The row of ``doctor_foreign_triggers``."""

    triggers: list[str]
    lacking: list[str]
    grants: list[str]
    policies: list[str]


def _foreign_triggers(connection: Connection) -> Finding:
    found = fetch_row(connection, "doctor_foreign_triggers", _ForeignTriggers)
    if found.lacking:
        text = f"rows become dead letters, since ml_writer, as whom they run, lacks rights: {', '.join(found.lacking)}"
        return Finding(FAIL, text, "; ".join(found.grants))
    notes = []
    if found.triggers:
        notes.append(f"may edit what the system writes, which write_altered would tell: {', '.join(found.triggers)}")
    if found.policies:
        notes.append(f"may hide rows, which become dead letters: restrictive policy {', '.join(found.policies)}")
    return Finding(OK, "; ".join(notes) or "the application has none that fires when a score is written")


@dataclass(frozen=True, slots=True)
class _Settings:
    """The row of ``doctor_settings``."""

    enabled: bool
    any_weight: bool
    benchmark_symbol: str | None
    benchmark_has_bars: bool
    label_horizon: int
    model_horizon: int | None


def _settings(connection: Connection) -> Finding:
    settings = fetch_row(connection, "doctor_settings", _Settings)
    if not settings.enabled:
        return Finding(
            FAIL, "ML is disabled: every row keeps its rule confidence", "python -m worker enable --reason TEXT"
        )
    if not settings.any_weight:
        return Finding(FAIL, "both weights are 0, so every blend is 0", "select ml.set('ml_weight', 1, 'reason')")
    if not settings.benchmark_has_bars:
        text = f"the benchmark {settings.benchmark_symbol} has no bars"
        return Finding(FAIL, text, "load them, or ml.set('benchmark_symbol', '', 'reason')")
    if settings.model_horizon not in (None, settings.label_horizon):
        text = f"the champion looks {settings.model_horizon} bars ahead, labels {settings.label_horizon}"
        return Finding(FAIL, text, f"train one, or ml.set('label_horizon', {settings.model_horizon}, 'reason')")
    return Finding(OK, "enabled; weights, benchmark and label horizon make sense")


@dataclass(frozen=True, slots=True)
class _Blend:
    """The row of ``doctor_blend``: the weights, and what unseen rows say against what they serve."""

    weights: str
    ml_weight: float
    rule_weight: float
    worse: list[str]


def _blend(connection: Connection) -> Finding:
    blend = fetch_row(connection, "doctor_blend", _Blend)
    said = f"{blend.weights} weights, {blend.ml_weight:.3g} for the model and {blend.rule_weight:.3g} for the rule"
    if not blend.worse:
        return Finding(OK, f"{said}; no unseen row speaks against it")
    remedy = "select * from ml.blend_advice()"
    if blend.weights == "fixed":
        remedy = "select ml.set('weights', 'learned', 'reason')"
    return Finding(FAIL, f"{said}: {'; '.join(blend.worse)}", remedy)


def _champion_id(connection: Connection) -> int | None:
    return fetch_row(connection, "batch_settings", BatchSettings).champion


def _champion(connection: Connection) -> Finding:
    if _champion_id(connection) is None:
        return Finding(FAIL, "there is none", "python -m worker first-passage --promote, which needs no labels")
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
    left = preview(connection, Selection()).rows - read_status(connection).depth
    if left > 0:
        return Finding(FAIL, f"{left:,} rows have no score and wait in no queue", "python -m worker backfill")
    return Finding(OK, "every row has a score, or waits for one")


def _workers(connection: Connection) -> Finding:
    alive = [worker for worker in read_status(connection).workers or [] if worker["kind"] == "worker"]
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
    if not fetch_value(connection, "doctor_may_remove"):
        return Finding(SKIP, "a live row could not be deleted again; run doctor with a role that may delete")
    try:
        return Finding(OK, f"a smoke row {smoke.send(connection)}")
    except smoke.SmokeFailed as error:
        return Finding(FAIL, str(error), error.remedy)


def _views(connection: Connection) -> Finding:
    connection.execute(query("doctor_views"))
    return Finding(OK, "health, metrics, alerts, queue and timeline answer")


def _rollback(connection: Connection) -> Finding:
    with connection.transaction(force_rollback=True):
        begin_rehearsal(connection, LOCK_TIMEOUT_MS)
        try:
            with connection.transaction():
                connection.execute(query("rollback"), {"reason": "rehearsed by doctor"})
        except psycopg.errors.LockNotAvailable:
            return Finding(
                FAIL,
                f"a session has held the champion for {LOCK_TIMEOUT_MS / 1000:g} s; it blocks promotions and rollbacks",
                "select pid, state, query from pg_stat_activity where pid in "
                "(select pid from pg_locks where relation = 'ml_internal.gate'::regclass and granted)",
            )
        except psycopg.DatabaseError as error:
            if error.sqlstate != PromotionRefused.sqlstate:
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
        return Finding(FAIL, f"the previous champion does not load: {error}", "select ml.retire('VERSION', 'reason')")
    return Finding(OK, f"a rollback to {version}, which loads, was rehearsed and taken back")


CHECKS: tuple[tuple[str, Check], ...] = (
    ("schema", _schema),
    ("roles", _roles),
    ("triggers", _triggers),
    ("bars", check_bars),
    ("foreign triggers", _foreign_triggers),
    ("settings", _settings),
    ("blend", _blend),
    ("champion", _champion),
    ("model", _model),
    ("backfill", _backfill),
    ("workers", _workers),
    ("smoke row", _smoke),
    ("views", _views),
    ("rollback", _rollback),
)
