"""Roles: each does what it needs and nothing else; functions that act for others cannot be led astray."""

from __future__ import annotations

import itertools
from typing import Any

import psycopg
import pytest
from psycopg import sql

from db_functions.database import Connection
from tests.sql_support import IN_SYSTEM, champion_id, refusal, write_scores
from tests.support import at, insert_bars, insert_pattern, make_champion, register, row_of

pytestmark = pytest.mark.compat

ROLES = ("ml_app", "ml_worker", "ml_analyst", "ml_publisher", "ml_operator")
REGISTER = (
    "select ml_internal.register_model('new', 'test', 'file', 1, '{}', '{}', '{}', 0, '{}', '', '{}', '{}', null)"
)
PARITY = "select ml_internal.record_parity('a', 0, 1e-5, 8, 'test')"
SCORE = "select ml_internal.write_batch(null, 'backfill', '{}', '{}', '{}', '{}', null, '{}', 0, 0, false, null)"
REPLAY = "select ml_internal.write_replay('a', 0, '{}')"
ATTRIBUTE = (
    "select ml_internal.write_attributions(pattern_id, 'c', scored_at, false, '{}', '{}', '{}', '{}', '{}', '{}') "
    "from ml.predictions"
)
LABEL = "select ml.label((select id from pattern_events limit 1), 'positive', 'seen')"
HEARTBEAT = "select ml_internal.start_worker('host', 1, '1', 'worker')"

# Who may do what: every other role is refused.
RIGHTS: dict[str, set[str]] = {
    "insert into pattern_events (symbol, timeframe, pattern_type, confidence) values ('A', '1d', 'x', 0.5)": {"ml_app"},
    "update pattern_events set confidence = 0.4, status = 'confirmed'": {"ml_app"},
    "delete from pattern_events": {"ml_app"},
    "truncate pattern_events cascade": set(),
    "select confidence from pattern_events": set(ROLES),
    "insert into price_bars values ('A', '1d', now(), 1, 1, 1, 1, 1)": {"ml_app"},
    "update price_bars set volume = 1": {"ml_app"},
    "delete from price_bars": {"ml_app"},
    "select * from price_bars": set(ROLES),
    "select * from ml.settings": {"ml_worker", "ml_analyst", "ml_publisher", "ml_operator"},
    "update ml.settings set threshold = 0": set(),
    "select * from ml.settings_history": {"ml_analyst", "ml_publisher", "ml_operator"},
    "delete from ml.settings_history": set(),
    "select * from ml.queue_status": {"ml_worker", "ml_analyst", "ml_publisher", "ml_operator"},
    "select * from ml.model_timeline": {"ml_worker", "ml_analyst", "ml_publisher", "ml_operator"},
    "select ml.model_at('champion', now())": {"ml_worker", "ml_analyst", "ml_publisher", "ml_operator"},
    "select onnx from ml.models": {"ml_worker", "ml_publisher"},
    "select version, metrics from ml.models": {"ml_worker", "ml_analyst", "ml_publisher", "ml_operator"},
    "update ml.models set version = 'mine'": set(),
    "update ml.aliases set valid_to = now()": set(),
    "insert into ml.aliases (alias, model_id, cause, valid_from, set_by, reason) "
    "select 'champion', id, 'promote', now(), 'me', 'x' from ml.models": set(),
    "select * from ml.predictions": {"ml_worker", "ml_analyst", "ml_publisher", "ml_operator"},
    "insert into ml.predictions select * from ml.predictions": set(),
    "delete from ml.predictions": set(),
    "select * from ml.queue for update skip locked": {"ml_worker"},
    "delete from ml.queue": set(),
    "select * from ml_internal.pages": {"ml_worker", "ml_publisher", "ml_operator"},
    "delete from ml_internal.pages": set(),
    "select ml_internal.open_job('replay', '{}')": {"ml_worker", "ml_publisher"},
    "select ml_internal.take_page(gen_random_uuid(), 1)": {"ml_worker", "ml_publisher"},
    "insert into ml.queue (pattern_id) values (gen_random_uuid())": set(),
    "update ml_internal.outcome_days set total = 0": set(),
    "insert into ml_internal.bar_changes default values": set(),
    "select ml.set('threshold', 0.5, 'test')": {"ml_operator"},
    "select ml.set('threshold', '0.5', 'test')": {"ml_operator"},
    "select ml.set('enabled', true, 'test')": {"ml_operator"},
    "select ml.enable('test')": {"ml_operator"},
    "select ml.disable('test')": {"ml_operator"},
    "select ml_internal.change_setting('threshold', '0.5', 'test', 'sql')": set(),
    "select ml_internal.apply_environment('ENABLE_PHASE5_ML', 'true')": {"ml_worker"},
    "select ml.promote('b', 'test')": {"ml_operator"},
    "select ml.rollback('test')": {"ml_operator"},
    "select ml.retire('b', 'test')": {"ml_operator"},
    "select ml.redrive(error_like => 'x')": {"ml_operator"},
    "select ml.reblend()": {"ml_operator"},
    "select ml.reblend('test', dry_run => false)": {"ml_operator"},
    "select * from ml.reblend_preview": {"ml_analyst", "ml_publisher", "ml_operator"},
    "select * from ml.reblends": {"ml_analyst", "ml_publisher", "ml_operator"},
    "delete from ml.reblends": set(),
    "select * from ml.attributions": {"ml_analyst", "ml_publisher", "ml_operator"},
    "select * from ml_internal.attributed_scores": {"ml_analyst", "ml_publisher", "ml_operator"},
    "select * from ml.attribution_importance": {"ml_analyst", "ml_publisher", "ml_operator"},
    "delete from ml_internal.attributed_scores": set(),
    ATTRIBUTE: {"ml_publisher"},
    "select ml_internal.mute_doorbell(1)": {"ml_worker"},
    "select setval('ml_internal.doorbell_muted_until', 1)": set(),
    "select ml_internal.set_champion(1, 'promote', true, 'test')": set(),
    "select ml_internal.update_metadata('{}')": set(),
    "select ml_internal.lock_patterns('{}')": set(),
    "select ml_internal.note_task('fold', null)": {"ml_worker"},
    "select * from ml_internal.foreign_triggers": {"ml_worker", "ml_analyst", "ml_publisher", "ml_operator"},
    REGISTER: {"ml_publisher"},
    PARITY: {"ml_publisher", "ml_worker"},
    SCORE: {"ml_worker"},
    HEARTBEAT: {"ml_worker"},
    LABEL: {"ml_analyst", "ml_operator"},
    "select ml.label_outcomes()": {"ml_worker", "ml_publisher", "ml_operator"},
    "select ml_internal.write_labels('{}', '{}', '{}', '{}', '{}', '{}', '{}', 'automatic')": set(),
    "select ml_internal.make_partitions()": {"ml_worker", "ml_operator"},
    "call ml_internal.adopt_rows()": set(),
    "call ml_internal.restore_rows()": set(),
    "call ml_internal.set_triggers(false)": set(),
    "create table ml.mine (id integer)": set(),
}


@pytest.fixture
def furnished(transaction: Connection) -> Connection:
    """Two models, a rolled-back-to champion, a scored pattern, bars."""
    insert_bars(transaction)
    make_champion(transaction, "a")
    make_champion(transaction, "c")
    register(transaction, "b")
    write_scores(transaction, [insert_pattern(transaction)], [0.75])
    return transaction


def may(connection: Connection, role: str, statement: str) -> bool:
    """Whether ``role`` may do it; anything but a refusal is raised, and nothing of it stays."""
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(f"set local role {role}")
            connection.execute(statement)
    except psycopg.errors.InsufficientPrivilege:
        return False
    return True


def test_each_role_may_do_what_it_needs_and_no_more(furnished: Connection) -> None:
    # write_batch wants to be told the champion.
    tried = {
        statement: statement.replace("write_batch(null", f"write_batch({champion_id(furnished)}")
        for statement in RIGHTS
    }
    found = {s: {role for role in ROLES if may(furnished, role, tried[s])} for s in RIGHTS}
    assert found == RIGHTS


def test_promotion_and_rollback_by_the_operator_alone_from_beginning_to_end(transaction: Connection) -> None:
    transaction.execute("set local role ml_publisher")
    register(transaction, "a")
    register(transaction, "b")
    transaction.execute("set local role ml_operator")
    transaction.execute("select ml.promote('a', 'first'), ml.promote('b', 'better')")
    assert transaction.execute("select ml.rollback('worse')").fetchone() == ("a",)


# Applications


@pytest.fixture
def stranger(transaction: Connection) -> Connection:
    """Acts as a role with rights on the public tables only, none in schema ml; not a member of any role of ours."""
    transaction.execute("create role stranger")
    transaction.execute("grant usage on schema public to stranger")
    transaction.execute("grant select, insert, update, delete on pattern_events, price_bars to stranger")
    transaction.execute("grant select, insert on pattern_lifecycle_history to stranger")
    return transaction


@pytest.mark.parametrize("role", ["stranger", "ml_app"])
def test_an_application_needs_no_right_in_schema_ml(stranger: Connection, role: str) -> None:
    found = stranger.execute("select has_schema_privilege('stranger', 'ml', 'USAGE')").fetchone()
    assert found == (False,)
    make_champion(stranger, "a")
    stranger.execute(f"set local role {role}")
    insert_bars(stranger)
    stranger.execute("update price_bars set close = close where ts = %s", [at(3)])
    stranger.execute("delete from price_bars where ts = %s", [at(4)])
    pattern = insert_pattern(stranger)
    stranger.execute("reset role")
    stranger.execute("select ml.set('ml_weight', 0.6, 'test')")
    write_scores(stranger, [pattern], [0.75])
    stranger.execute(f"set local role {role}")
    stranger.execute("update pattern_events set confidence = 0.5 where id = %s", [pattern])
    stranger.execute("update pattern_events set status = 'confirmed' where id = %s", [pattern])
    stranger.execute("reset role")
    stranger.execute("select ml.label(%s, 'positive', 'seen')", [pattern])
    stranger.execute(f"set local role {role}")
    stranger.execute("update pattern_events set pattern_type = 'flag' where id = %s", [pattern])
    row = row_of(stranger, pattern)
    assert row["rule_confidence"] == 0.5
    assert row["confidence"] == pytest.approx(0.6 * 0.75 + 0.4 * 0.5)
    assert stranger.execute("select count(*) from pattern_lifecycle_history").fetchone() == (1,)
    counted = "select pattern_type, total from ml_internal.outcome_days where total <> 0"
    stranger.execute("reset role")
    assert stranger.execute(counted).fetchall() == [("flag", 1)]
    stranger.execute(f"set local role {role}")
    stranger.execute("delete from pattern_events where id = %s", [pattern])
    stranger.execute("reset role")
    assert stranger.execute(counted).fetchall() == []


FORGED = (
    "ml_confidence = 0.99, blended_confidence = 0.99, model_version = 'forged', scored_at = 'now', "
    "prediction_class = 'positive', prediction_latency_ms = 0, ml_metadata = '{\"source\": \"blend\"}', "
    "outcome_label = 'positive', outcome_at = 'now', realized_pnl = 9, labeling_method = 'analyst'"
)


@pytest.mark.parametrize("role", ["ml_app", "stranger", "ml_worker", None])
def test_a_client_forges_nothing(stranger: Connection, role: str | None) -> None:
    """Whoever he is, the tables' owner too, and whatever he claims in settings of his own."""
    pattern = insert_pattern(stranger)
    before = row_of(stranger, pattern)
    stranger.execute("grant insert, update on pattern_events to ml_worker")
    if role:
        stranger.execute(f"set local role {role}")
    stranger.execute("set local ml.system_write = 'on'")
    stranger.execute("set local application_name = 'ml_owner'")
    stranger.execute(f"update pattern_events set {FORGED}")
    forged = insert_pattern(stranger, ml_confidence=0.99, model_version="forged")
    stranger.execute("reset role")
    after = row_of(stranger, pattern)
    assert {**after, "updated_at": None} == {**before, "updated_at": None}
    assert row_of(stranger, forged, "ml_confidence", "model_version") == {"ml_confidence": None, "model_version": None}


def test_an_application_cannot_stop_updated_at(stranger: Connection) -> None:
    pattern = insert_pattern(stranger, updated_at=at(0))
    stranger.execute("set local role stranger")
    stranger.execute("set local ml.system_write = 'on'")
    stranger.execute("update pattern_events set operator_id = 'me', updated_at = '2020-01-01'")
    assert row_of(stranger, pattern, "updated_at = now() as moved") == {"moved": True}


@pytest.mark.parametrize("role", [*ROLES, "stranger"])
def test_nobody_may_become_the_owner(stranger: Connection, role: str) -> None:
    stranger.execute(f"set local session authorization {role}")
    error = refusal(stranger, "set role ml_owner")
    stranger.execute("reset session authorization")
    assert isinstance(error, psycopg.errors.InsufficientPrivilege)


def test_writing_for_the_system_does_not_outlive_its_function(transaction: Connection) -> None:
    make_champion(transaction, "a")
    pattern = insert_pattern(transaction)
    write_scores(transaction, [pattern], [0.75])
    transaction.execute("select ml.label(%s, 'positive', 'seen')", [pattern])
    transaction.execute(f"update pattern_events set {FORGED}")
    assert row_of(transaction, pattern)["model_version"] == "a"


# What everything in schema ml keeps to


def names(connection: Connection, query: str) -> list[str]:
    return [str(row[0]) for row in connection.execute(query)]


def test_public_has_nothing_in_schema_ml(transaction: Connection) -> None:
    assert not names(
        transaction,
        "select p.oid::regprocedure from pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a "
        f"where p.pronamespace {IN_SYSTEM} and a.grantee = 0",
    )
    assert not names(
        transaction,
        "select c.oid::regclass from pg_class c, aclexplode(c.relacl) a "
        f"where c.relnamespace {IN_SYSTEM} and a.grantee = 0",
    )
    assert not names(
        transaction,
        f"select nspname from pg_namespace n, aclexplode(nspacl) a where n.oid {IN_SYSTEM} and a.grantee = 0",
    )
    transaction.execute("create role nobody")
    usable = (
        f"select nspname from pg_namespace n where n.oid {IN_SYSTEM} and has_schema_privilege('nobody', oid, 'usage')"
    )
    assert names(transaction, usable) == []
    transaction.execute("set role ml_owner")
    transaction.execute("create function ml_internal.later() returns integer language sql return 1")
    assert names(transaction, "select 1 where has_function_privilege('nobody', 'ml_internal.later()', 'execute')") == []


# Whatever is in the catalogue, new objects too


FOR_APPLICATIONS = {"answer", "ask", "ask_and_wait", "score", "surface", "surface_rows", "wait_for_score"}
"""What ``ml_app`` may call, and everybody else with it; it changes nothing but questions, which only their asker reads.
"""
BULK = {"add_page", "finish_job", "finish_page", "open_job", "pin_job", "take_page"}
WRITING = {
    "ml_app": set[str](),
    "ml_worker": {
        "apply_environment", "bury_workers", "check_alerts", "claim_questions", "clear_suspect", "drop_partitions",
        "fold", "fold_skill", "heartbeat", "label_due", "label_outcomes", "make_partitions", "mark_suspect",
        "mute_doorbell", "note_task", "prune", "prune_questions", "record_parity", "renew_weights", "review_suspects",
        "start_worker", "write_answers", "write_batch", *BULK,
    },
    "ml_analyst": {"label"},
    "ml_publisher": {"label_outcomes", "record_parity", "register_model", "write_replay", "write_attributions", *BULK},
    "ml_operator": {
        "acknowledge", "challenge", "check_alerts", "disable", "enable", "label", "label_outcomes", "make_partitions",
        "promote", "reblend", "redrive", "retire", "rollback", "set", "set_baseline",
    },
}  # fmt: skip
"""Functions that may change something, by who may call them; one that is not here is called by nobody."""


TRIGGERS_PATH = "search_path=pg_catalog, public, pg_temp"
UNPINNED = "ml_internal.update_scores"
"""It has the path of the function that calls it."""
WRITERS = ("update_scores", "update_publicly", "update_labels", "update_metadata", "lock_patterns", "can_reach")
"""Functions that are ml_writer's: everything that touches a row of pattern_events."""


@pytest.mark.parametrize("role", ROLES)
def test_nobody_calls_what_writes_but_those_that_are_meant_to(transaction: Connection, role: str) -> None:
    callable_ = names(
        transaction,
        f"select distinct proname from pg_proc where pronamespace {IN_SYSTEM} and provolatile = 'v' "
        f"and has_function_privilege('{role}', oid, 'execute')",
    )
    assert set(callable_) <= WRITING[role] | FOR_APPLICATIONS


@pytest.mark.parametrize("role", ROLES)
def test_nobody_writes_to_a_table_in_schema_ml(transaction: Connection, role: str) -> None:
    """But through functions; a lock on a row of the queue takes the right to update it, and a trigger is not needed."""
    found = names(
        transaction,
        "select relname || ': ' || privilege from pg_class, "
        "unnest(array['insert', 'update', 'delete', 'truncate', 'references', 'trigger']) privilege "
        f"where relnamespace {IN_SYSTEM} and relkind in ('r', 'p', 'v', 'm') "
        f"and (has_table_privilege('{role}', oid, privilege) or privilege in ('insert', 'update', 'references') "
        f"and has_any_column_privilege('{role}', oid, privilege))",
    )
    assert found == (["queue: update"] if role == "ml_worker" else [])


def test_an_application_reads_nothing_in_our_schemas_and_calls_what_is_made_for_it(transaction: Connection) -> None:
    assert not names(
        transaction,
        f"select relname from pg_class where relnamespace {IN_SYSTEM} and relkind in ('r', 'p', 'v', 'm') "
        "and has_any_column_privilege('ml_app', oid, 'select')",
    )
    found = names(
        transaction,
        f"select proname from pg_proc where pronamespace {IN_SYSTEM} "
        "and has_function_privilege('ml_app', oid, 'execute')",
    )
    assert set(found) == FOR_APPLICATIONS
    assert transaction.execute("select has_schema_privilege('ml_app', 'ml_internal', 'usage')").fetchone() == (False,)


@pytest.mark.parametrize("role", ["ml_analyst", "ml_operator"])
def test_models_are_read_by_those_who_run_or_make_them(transaction: Connection, role: str) -> None:
    """No other column of bytes either, a hash aside: none by which a file would get out through a view."""
    found = names(
        transaction,
        "select distinct attname from pg_attribute join pg_class c on c.oid = attrelid "
        f"where relnamespace {IN_SYSTEM} and relkind in ('r', 'p', 'v', 'm') and atttypid = 'bytea'::regtype "
        f"and has_column_privilege('{role}', attrelid, attname, 'select')",
    )
    assert found == ["input_hash"]


def test_views_read_with_the_rights_of_who_asks(transaction: Connection) -> None:
    loose = names(
        transaction,
        f"select relname from pg_class where relnamespace {IN_SYSTEM} and relkind in ('v', 'm') "
        "and not coalesce('security_invoker=true' = any (reloptions), false)",
    )
    assert loose == []


def test_nobody_grants_on(transaction: Connection) -> None:
    assert not names(
        transaction,
        "select c.oid::regclass from pg_class c, aclexplode(c.relacl) a "
        f"where c.relnamespace {IN_SYSTEM} and a.is_grantable and a.grantee <> c.relowner",
    )


def test_functions_that_act_for_others(transaction: Connection) -> None:
    definers = transaction.execute(
        "select p.oid::regprocedure::text, p.proowner::regrole::text, p.proconfig from pg_proc p "
        f"where p.pronamespace {IN_SYSTEM} and p.prosecdef"
    ).fetchall()
    assert len(definers) >= 20
    paths = {"search_path=pg_catalog, pg_temp"}
    writers = set[str]()
    for name, owner, config in definers:
        if owner == "ml_writer":
            writers.add(name.partition("(")[0])
        else:
            assert owner == "ml_owner", name
        # Triggers of an application, which name their tables without a schema, run with the second.
        wanted = paths | ({TRIGGERS_PATH} if owner == "ml_writer" else set())
        assert wanted & set(config or []) or name.startswith(UNPINNED), name
    assert writers == {f"ml_internal.{name}" for name in WRITERS}
    assert names(transaction, "select rolname from pg_roles where rolname like 'ml\\_%' and rolcanlogin") == []
    assert names(transaction, "select rolname from pg_roles where rolname = 'ml_owner' and rolsuper") == []


def test_every_function_pins_its_path(transaction: Connection) -> None:
    """The triggers that run as the writer too: a superuser who inserts would run what others left in his path.

    A body that was parsed when it was made looks nothing up.
    """
    loose = names(
        transaction,
        f"select p.oid::regprocedure from pg_proc p where p.pronamespace {IN_SYSTEM} and p.prokind = 'f' "
        "and p.prosqlbody is null and not coalesce('search_path=pg_catalog, pg_temp' = any (p.proconfig), false) "
        f"and not (p.proowner = 'ml_writer'::regrole and coalesce('{TRIGGERS_PATH}' = any (p.proconfig), false))",
    )
    assert [name.partition("(")[0] for name in loose] == [UNPINNED]
    callers = names(
        transaction,
        "select a.grantee::regrole from pg_proc p, aclexplode(p.proacl) a where p.proname = 'update_scores'",
    )
    assert sorted(callers) == ["ml_owner", "ml_writer"], "whose functions pin theirs"


def test_everything_is_owned_by_the_owner(transaction: Connection) -> None:
    owned_by_others = names(
        transaction,
        f"select c.oid::regclass from pg_class c where c.relnamespace {IN_SYSTEM} "
        "and c.relowner <> 'ml_owner'::regrole",
    )
    assert owned_by_others == []


def test_what_a_caller_puts_in_the_way_is_not_called(furnished: Connection) -> None:
    """Functions, operators and tables of our names in the caller's own schemas, first in his search path."""
    furnished.execute("create schema trap")
    furnished.execute("create table trap.sprung (what text)")
    trap = sql.SQL(
        "create function trap.{name}({arguments}) returns {result} language plpgsql as "
        "$$begin insert into trap.sprung values ({what}); return null; end$$"
    )
    shadowed: list[tuple[str, str, str]] = [
        ("now", "", "timestamptz"),
        ("clock_timestamp", "", "timestamptz"),
        ("isfinite", "timestamptz", "boolean"),
        ("abs", "float8", "float8"),
        ("current_setting", "text, boolean", "text"),
        ("has_schema_privilege", "text, text", "boolean"),
        ("jsonb_build_object", "text, text", "jsonb"),
        ("pg_notify", "text, text", "text"),
        ("hashtext", "text", "integer"),
        ("format", "text, text, float8, float8, float8", "text"),
        ("format", "text, float8, float8, float8", "text"),
        ("at_least", "float8, integer", "boolean"),
        ("at_most", "float8, integer", "boolean"),
        ("equal", "text, text", "boolean"),
    ]
    for name, arguments, result in shadowed:
        furnished.execute(
            trap.format(
                name=sql.Identifier(name),
                arguments=sql.SQL(arguments),
                result=sql.SQL(result),
                what=sql.Literal(name),
            )
        )
    # No such operators exist in pg_catalog, so an unpinned "confidence >= 0" would find these first.
    furnished.execute("create operator trap.>= (leftarg = float8, rightarg = integer, function = trap.at_least)")
    furnished.execute("create operator trap.<= (leftarg = float8, rightarg = integer, function = trap.at_most)")
    furnished.execute("create operator trap.= (leftarg = text, rightarg = text, function = trap.equal)")
    furnished.execute("create table trap.settings as select 99 as version, true as enabled, 0.0::float8 as threshold")
    furnished.execute("create table trap.inserted (id uuid)")
    furnished.execute("create temporary table settings as select * from trap.settings")
    furnished.execute("create temporary table inserted (id uuid)")
    furnished.execute("create temporary table changed (symbol text, timeframe text, ts timestamptz)")
    furnished.execute("grant usage on schema trap to public")
    furnished.execute("grant all on all tables in schema trap to public")
    champion = champion_id(furnished)
    furnished.execute("set local search_path = pg_temp, trap, public, pg_catalog")

    def as_role(role: str, statement: str, parameters: Any = None) -> None:
        furnished.execute(f"set local role {role}")
        furnished.execute(statement, parameters)
        furnished.execute("reset role")

    furnished.execute("set local role ml_app")
    pattern = insert_pattern(furnished, detected_at=at(100))
    refusal(furnished, "insert into public.price_bars values ('X', '1d', '2024-01-01', 10, 9, 8, 10, 1)")
    furnished.execute("insert into public.price_bars values ('X', '1d', '2024-01-01', 10, 11, 8, 10, 1)")
    furnished.execute("reset role")
    write_scores(furnished, [pattern], [0.75], champion=champion)
    as_role("ml_app", f"update public.pattern_events set {FORGED}, confidence = 0.5")
    as_role("ml_operator", "select ml.set('threshold', 0.25, 'test'), ml.promote('b', 'test'), ml.rollback('test')")
    as_role("ml_analyst", "select ml.label(%s, 'positive', 'seen')", [pattern])
    as_role("ml_operator", "select ml.label_outcomes()")
    furnished.execute("reset search_path")
    row = row_of(furnished, pattern)
    assert row["confidence"] == 0.75
    assert row["ml_metadata"]["settings_version"] == 1
    assert row["ml_metadata"]["threshold"] == 0.5
    queued = furnished.execute("select count(*) from ml.queue").fetchone()
    assert queued == (2,)
    changed = furnished.execute("select count(*) from ml_internal.bar_changes where symbol = 'X'").fetchone()
    assert changed == (1,)
    assert furnished.execute("select what from trap.sprung").fetchall() == []


def test_the_traps_would_spring(transaction: Connection) -> None:
    """The test above proves something: the same comparison, unpinned, calls the stranger's operator."""
    transaction.execute("create schema trap")
    transaction.execute(
        "create function trap.at_least(float8, integer) returns boolean language sql as 'select null::boolean'"
    )
    transaction.execute("create operator trap.>= (leftarg = float8, rightarg = integer, function = trap.at_least)")
    transaction.execute("set local search_path = trap, pg_catalog")
    assert transaction.execute("select 1::float8 >= 0").fetchone() == (None,)


# Partitions, made by whoever upkeeps


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "America/Los_Angeles"])
@pytest.mark.parametrize("style", ["SQL, DMY", "German", "ISO, MDY"])
def test_partitions_are_months_of_utc_whatever_the_session_says(transaction: Connection, zone: str, style: str) -> None:
    for name in names(
        transaction, "select inhrelid::regclass from pg_inherits where inhparent = 'ml.predictions'::regclass"
    ):
        if not name.endswith("default"):
            transaction.execute(f"drop table {name}")
    transaction.execute("set local role ml_worker")
    transaction.execute("select set_config('timezone', %s, true), set_config('datestyle', %s, true)", [zone, style])
    assert transaction.execute(
        "select ml_internal.make_partitions(14), ml_internal.make_partitions(14)"
    ).fetchone() == (15, 0)
    transaction.execute("reset role")
    transaction.execute("set local timezone = 'UTC'")
    transaction.execute("set local datestyle = 'ISO'")
    bounds = transaction.execute(
        "select c.relname, pg_get_expr(c.relpartbound, c.oid) from pg_class c join pg_inherits on inhrelid = c.oid "
        "where inhparent = 'ml.predictions'::regclass and c.relname like 'predictions\\_2%' order by 1"
    ).fetchall()
    months = names(
        transaction,
        "select to_char(date_trunc('month', now()) + n * interval '1 month', 'YYYY-MM') from generate_series(0, 15) n",
    )
    assert bounds == [
        (
            f"predictions_{month.replace('-', '_')}",
            f"FOR VALUES FROM ('{month}-01 00:00:00+00') TO ('{following}-01 00:00:00+00')",
        )
        for month, following in itertools.pairwise(months)
    ]


def test_a_month_whose_rows_stand_in_the_default_partition_is_left_there(furnished: Connection) -> None:
    (this_month,) = names(furnished, "select 'predictions_' || to_char(now() at time zone 'UTC', 'YYYY_MM')")
    furnished.execute(f"drop table ml.{this_month}")
    pattern = insert_pattern(furnished)
    write_scores(furnished, [pattern], [0.5])
    assert furnished.execute("select count(*) from ml.predictions_default").fetchone() == (1,)
    assert furnished.execute("select ml_internal.make_partitions()").fetchone() == (0,)
