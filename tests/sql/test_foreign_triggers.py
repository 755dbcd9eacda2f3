"""Triggers that an application puts on ``pattern_events`` run with no right of the system."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from db_functions.database import Connection
from tests.sql_support import write_scores
from tests.support import insert_bars, insert_pattern, make_champion, row_of
from tests.worker_support import count
from worker.operating import doctor, finding
from worker.serving.engine import Engine

pytestmark = pytest.mark.compat

HOSTILE = (
    "update ml.settings set threshold = 0",
    "insert into ml.queue (pattern_id) values (gen_random_uuid())",
    "grant ml_operator to mallory",
    "grant select on ml.models to mallory",
    "perform ml.set('threshold', 0.9, 'mine')",
    "perform ml_internal.write_labels(array[new.id], '{positive}', '{now}', '{1}', '{1}', '{1}', '{1}', 'automatic')",
    "perform ml_internal.fold()",
    "delete from public.pattern_events",
    "update public.pattern_events set confidence = 0.99",
    "set local role ml_owner",
    "perform ml_internal.write_batch(1, 'backfill', '{}', '{}', '{}', '{}', null, '{}', 0, 0, false, null)",
)
FORGE = (
    "update public.pattern_events set ml_confidence = 0.99, outcome_label = 'positive', scored_at = now() "
    "where id <> new.id"
)


@pytest.fixture
def mallory(connection: Connection) -> Iterator[Connection]:
    """A role with TRIGGER on pattern_events, and a table that anybody may write to."""
    insert_bars(connection)
    make_champion(connection, "small-1")
    connection.execute(
        "create role mallory; grant trigger, select on pattern_events to mallory;"
        "create schema theirs authorization mallory; grant usage on schema theirs to public;"
        "create table theirs.loot (what text); alter table theirs.loot owner to mallory;"
        "grant all on theirs.loot to public"
    )
    yield connection
    connection.execute("drop owned by mallory cascade; drop role mallory")


def trap(
    connection: Connection,
    statement: str,
    when: str = "after update",
    on: str = "public.pattern_events",
    name: str = "trap",
) -> None:
    """A trigger of mallory's that tries ``statement``, and notes who it was when that succeeds."""
    kind = "constraint trigger" if "deferred" in when else "trigger"
    event, _, rest = when.partition(" deferrable")
    connection.execute("set role mallory")
    try:
        connection.execute(
            f"create function theirs.{name}() returns trigger language plpgsql as $$ begin "
            f"begin {statement}; insert into theirs.loot values (current_user); "
            "exception when others then null; end; return new; end $$;"
            f"create {kind} zz_{name} {event} on {on} {'deferrable' + rest if rest else ''} "
            f"for each row execute function theirs.{name}()".encode()
        )
    finally:
        connection.execute("reset role")


@pytest.mark.parametrize("statement", HOSTILE)
@pytest.mark.parametrize("when", ["before update", "after update", "after update deferrable initially deferred"])
def test_it_reaches_nothing_of_ours(mallory: Connection, database: str, statement: str, when: str) -> None:
    trap(mallory, statement, when)
    pattern = insert_pattern(mallory)
    with psycopg.connect(database, autocommit=True) as work:
        work.execute("set session authorization ml_worker")
        assert Engine(work).score_queue().done == 1
    mallory.execute("select ml.label(%s, 'positive', 'seen')", [pattern])
    assert count(mallory, "theirs.loot") == 0
    assert row_of(mallory, pattern, "model_version", "outcome_label") == {
        "model_version": "small-1", "outcome_label": "positive",
    }  # fmt: skip


@pytest.mark.parametrize("when", ["before update", "after update", "after update deferrable initially deferred"])
def test_it_forges_no_score_of_another_row(mallory: Connection, when: str) -> None:
    victim = insert_pattern(mallory)
    before = row_of(mallory, victim)
    trap(mallory, FORGE, when)
    pattern = insert_pattern(mallory)
    write_scores(mallory, [pattern], [0.75])
    after = row_of(mallory, victim)
    assert {**after, "updated_at": None} == {**before, "updated_at": None}


def test_code_that_defers_itself_on_a_table_of_its_own_runs_as_the_writer(mallory: Connection, database: str) -> None:
    """Up to 17 deferred triggers run at COMMIT as the login, which may call the write function."""
    mallory.execute("set role mallory")
    mallory.execute("create table theirs.bait (id integer); grant all on theirs.bait to public")
    mallory.execute("reset role")
    trap(mallory, "insert into theirs.bait values (1)")
    trap(mallory, "perform 1", "after insert deferrable initially deferred", "theirs.bait", "late")
    insert_pattern(mallory)
    with psycopg.connect(database, autocommit=True) as work:
        work.execute("set session authorization ml_worker")
        assert Engine(work).score_queue().done == 1
    assert {row[0] for row in mallory.execute("select what from theirs.loot")} == {"ml_writer"}


def test_the_write_function_cannot_be_called_by_a_trigger(mallory: Connection) -> None:
    insert_pattern(mallory)
    mallory.execute("create table bait (id integer)")
    mallory.execute(
        "create function calls() returns trigger language plpgsql as $$ begin perform ml_internal.write_batch("
        "(select model_id from ml_internal.champion), 'backfill', '{}', '{}', '{}', '{}', null, '{}', 0, 0, false, "
        "null); return null; end $$; create trigger calls after insert on bait for each row execute function calls()"
    )
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        mallory.execute("insert into bait values (1)")


@pytest.mark.parametrize("edit", ["ml_confidence := 0.99", "confidence := 0.99", "model_version := 'mine'"])
def test_what_a_trigger_edits_is_noticed(connection: Connection, edit: str) -> None:
    make_champion(connection, "small-1")
    write_scores(connection, [insert_pattern(connection)], [0.75])
    assert count(connection, "ml_internal.altered_writes") == 0
    connection.execute(
        f"create function edits() returns trigger language plpgsql as $$ begin new.{edit}; return new; end $$;"
        "create trigger zz_edits before update on pattern_events for each row execute function edits()".encode()
    )
    ids = [insert_pattern(connection) for _ in range(3)]
    write_scores(connection, ids, [0.75, 0.5, 0.25])
    assert connection.execute("select task, rows from ml_internal.altered_writes").fetchall() == [("score", 3)]
    connection.execute("select ml_internal.check_alerts()")
    assert connection.execute("select value from ml.alerts where type = 'write_altered'").fetchone() == (3,)


def test_a_label_that_a_trigger_edits_is_noticed(connection: Connection) -> None:
    pattern = insert_pattern(connection)
    connection.execute(
        "create function edits() returns trigger language plpgsql as "
        "$$ begin new.outcome_label := 'negative'; return new; end $$;"
        "create trigger zz_edits before update on pattern_events for each row execute function edits()"
    )
    connection.execute("select ml.label(%s, 'positive', 'seen')", [pattern])
    assert connection.execute("select task, rows from ml_internal.altered_writes").fetchall() == [("label", 1)]
    counted = connection.execute("select positives, total from ml_internal.outcome_days").fetchall()
    assert counted == [(0, 1)], "the counts follow the row"


def test_the_writer_holds_nothing_else(connection: Connection) -> None:
    tables = connection.execute(
        "select c.oid::regclass::text, array_agg(distinct p order by p) from pg_class c, unnest(array["
        "'select', 'insert', 'update', 'delete', 'truncate', 'references', 'trigger']) p "
        "where c.relnamespace::regnamespace::text in ('public', 'ml', 'ml_internal') and c.relkind in ('r', 'p', 'v') "
        "and has_table_privilege('ml_writer', c.oid, p) group by 1"
    )
    assert tables.fetchall() == [("pattern_events", ["select"])]
    columns = {
        row[0]
        for row in connection.execute(
            "select attname from pg_attribute where attrelid = 'pattern_events'::regclass and attnum > 0 "
            "and has_column_privilege('ml_writer', attrelid, attname, 'update')"
        )
    }
    assert {"ml_confidence", "outcome_label"} <= columns
    assert not columns & {"confidence", "rule_confidence", "id", "symbol", "status"}
    functions = connection.execute(
        "select proname, prosecdef from pg_proc where pronamespace in ('ml'::regnamespace, 'ml_internal'::regnamespace)"
        " and has_function_privilege('ml_writer', oid, 'execute') and proowner <> 'ml_writer'::regrole"
    ).fetchall()
    assert not any(definer for _, definer in functions)
    assert {name for name, _ in functions} == {"predicted_class", "usable_rule", "decide", "blended", "decision_record"}
    owner = connection.execute("select has_any_column_privilege('ml_owner', 'pattern_events', 'update')")
    assert owner.fetchone() == (False,), "nobody else writes for the system"


def test_doctor_prints_the_grant_that_a_trigger_needs(connection: Connection) -> None:
    find = dict(doctor.CHECKS)["foreign triggers"]
    assert find(connection).outcome == finding.OK
    connection.execute(
        "create table audit (pattern_id uuid, at timestamptz);"
        "create function audits() returns trigger language plpgsql as $$ begin "
        "insert into audit select new.id, max(b.ts) from price_bars b; return new; end $$;"
        "create trigger zz_audits before update on pattern_events for each row execute function audits()"
    )
    found = find(connection)
    assert found.outcome == finding.FAIL
    assert "zz_audits" in found.text
    assert found.remedy.split("; ") == [
        "grant insert on public.audit to ml_writer", "grant select on public.price_bars to ml_writer",
    ]  # fmt: skip
    connection.execute(found.remedy.encode())
    assert find(connection).outcome == finding.OK
    assert "zz_audits" in find(connection).text, "it may still edit what the system writes"
