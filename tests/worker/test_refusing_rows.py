"""Triggers and policies of an application refuse, swallow or hide a row: it alone is a dead letter, with its reason."""

from __future__ import annotations

import psycopg
import pytest

from db_functions.database import Connection
from db_functions.errors import first_line
from tests.support import at, insert_bars, insert_pattern, make_champion, row_of, wait_until
from tests.worker_support import count, patterns, working
from worker.serving import probation
from worker.serving.engine import Engine
from worker.serving.loop import Options

pytestmark = pytest.mark.compat

CODES = (
    "P0001",
    "P0004",
    "42501",
    "0A000",
    "XX000",
    "55000",
    "40001",
    "40P01",
    "55P03",
    "25006",
    "22012",
    "53100",
    "58030",
)


def refuse(connection: Connection, body: str, when: str = "before update", condition: str = "true") -> None:
    """A trigger of the application, on rows of operator ``closed``."""
    kind = "constraint trigger" if "deferrable" in when else "trigger"
    on, _, rest = when.partition(" deferrable")
    connection.execute(
        f"create function theirs() returns trigger language plpgsql as $$ begin {body} end $$;"
        f"create {kind} zz_theirs {on} on pattern_events {'deferrable ' + rest if rest else ''} for each row "
        f"when (new.operator_id = 'closed' and {condition}) execute function theirs()".encode()
    )


def raising(code: str) -> str:
    return f"raise exception 'closed patterns are immutable' using errcode = '{code}';"


@pytest.fixture
def served(connection: Connection) -> Connection:
    insert_bars(connection)
    make_champion(connection, "small-1")
    return connection


def drain(connection: Connection) -> Engine:
    engine = Engine(connection)
    while engine.score_queue().done:
        pass
    return engine


def dead_letters(connection: Connection) -> dict[str, str]:
    return dict(connection.execute("select pattern_id::text, error from ml.failures").fetchall())


def all_scored(connection: Connection, ids: list[str]) -> bool:
    found = connection.execute(
        "select count(*) from pattern_events where scored_at is not null and id::text = any (%s)", [ids]
    ).fetchone()
    return found == (len(ids),)


@pytest.mark.parametrize("code", CODES)
def test_whatever_a_trigger_raises_only_its_row_is_given_up(served: Connection, code: str) -> None:
    refuse(served, raising(code))
    good = [insert_pattern(served) for _ in range(9)]
    closed = insert_pattern(served, operator_id="closed")
    good += [insert_pattern(served) for _ in range(8)]
    engine = drain(served)
    assert all_scored(served, good)
    assert dead_letters(served).keys() == {closed}
    assert "closed patterns are immutable" in dead_letters(served)[closed]
    assert count(served, "ml.queue") == 0
    assert count(served, "ml.predictions") == len(good)
    assert (engine.counters.scored, engine.counters.failed) == (len(good), 1)
    assert row_of(served, closed, "ml_confidence", "confidence") == {"ml_confidence": None, "confidence": 0.7}

    served.execute("drop trigger zz_theirs on pattern_events")
    assert served.execute("select ml.redrive(error_like => '%%immutable%%')").fetchone() == (1,)
    drain(served)
    assert all_scored(served, [closed])


@pytest.mark.parametrize("when", ["after update", "after update deferrable initially deferred"])
def test_a_refusal_after_the_update_is_isolated_too(served: Connection, when: str) -> None:
    refuse(served, raising("P0001"), when)
    good = [insert_pattern(served) for _ in range(5)]
    closed = insert_pattern(served, operator_id="closed")
    drain(served)
    assert all_scored(served, good)
    assert dead_letters(served).keys() == {closed}


def test_the_counts_tell_failed_rows_from_scored_ones(served: Connection) -> None:
    refuse(served, raising("55000"))
    for k in range(6):
        insert_pattern(served, operator_id="closed" if k % 3 == 0 else None)
    drain(served)
    counted = served.execute(
        "select r, count(*)::integer from ml_internal.batches b, unnest(b.reasons) r group by 1 order by 1"
    )
    assert counted.fetchall() == [("failed", 2), ("scored", 4)]


@pytest.mark.parametrize(
    ("body", "reason"),
    [("return null;", "NULL"), ("new.id := gen_random_uuid(); return new;", "")],
    ids=["swallowed", "new id"],
)
def test_a_row_that_is_not_written_is_never_called_done(served: Connection, body: str, reason: str) -> None:
    refuse(served, body)
    closed, good = insert_pattern(served, operator_id="closed"), insert_pattern(served)
    drain(served)
    assert all_scored(served, [good])
    if reason:
        assert reason in dead_letters(served)[closed]
    else:
        moved = served.execute("select scored_at is not null from pattern_events where operator_id = 'closed'")
        assert moved.fetchone() == (True,)
        assert count(served, "ml_internal.altered_writes") == 1
    assert count(served, "ml.queue") == 0


def test_an_id_that_an_application_changes_is_scored_under_the_new_one(served: Connection) -> None:
    pattern = insert_pattern(served)
    served.execute("update pattern_events set id = gen_random_uuid() where id = %s", [pattern])
    drain(served)
    assert served.execute("select scored_at is not null from pattern_events").fetchall() == [(True,)]
    assert count(served, "ml.queue") == count(served, "ml.failures") == 0


@pytest.mark.parametrize("hidden_from", ["ml_worker", "ml_owner", "ml_writer", "public"])
def test_a_hidden_row_is_not_called_gone(served: Connection, database: str, hidden_from: str) -> None:
    hidden, good = insert_pattern(served, operator_id="closed"), insert_pattern(served)
    gone = insert_pattern(served)
    served.execute(
        "alter table pattern_events enable row level security;"
        f"create policy theirs on pattern_events as restrictive to {hidden_from} "
        "using (operator_id is distinct from 'closed')".encode()
    )
    served.execute("delete from pattern_events where id = %s", [gone])
    with psycopg.connect(database, autocommit=True) as work:
        work.execute("set role ml_worker")
        drain(work)
    assert all_scored(served, [good])
    # The owner of the functions only counts it; the row is written as ml_writer.
    assert all_scored(served, [hidden]) == (hidden_from == "ml_owner")
    assert (hidden in dead_letters(served)) == (hidden_from != "ml_owner")
    assert count(served, "ml.queue") == 0


def test_without_policies_a_deleted_pattern_leaves_no_dead_letter(served: Connection) -> None:
    gone = insert_pattern(served)
    served.execute("delete from pattern_events where id = %s", [gone])
    drain(served)
    assert count(served, "ml.queue") == count(served, "ml.failures") == 0


def test_a_row_that_cancels_the_statement_is_given_up_after_three_tries(served: Connection, database: str) -> None:
    refuse(served, raising("57014"))
    good = [insert_pattern(served) for _ in range(6)]
    closed = insert_pattern(served, operator_id="closed")
    with working(database, Options(poll_interval_s=0.02, heartbeat_s=5)):
        wait_until(lambda: count(served, "ml.queue") == 0, "an empty queue")
    assert all_scored(served, good)
    found = served.execute("select pattern_id::text, attempts from ml.failures").fetchall()
    assert found == [(closed, probation.DEATHS)]


def test_backfill_gives_up_a_row_that_cancels_the_statement(served: Connection) -> None:
    refuse(served, raising("57014"))
    ids = [insert_pattern(served) for _ in range(3)]
    closed = insert_pattern(served, operator_id="closed")
    served.execute("truncate ml.queue")
    assert Engine(served).score_rows(patterns(served), rescore=False) == 4
    assert all_scored(served, ids)
    assert dead_letters(served).keys() == {closed}


def test_a_row_whose_trigger_waits_for_a_lock_stays(served: Connection, database: str) -> None:
    """Another session's lock is not the row's fault: it is scored when the lock is gone."""
    served.execute("create table ledger (id integer); insert into ledger values (1)")
    served.execute("grant select, update on ledger to ml_owner; grant select, update on ledger to ml_writer")
    refuse(served, "perform from public.ledger for update; return new;")
    good = [insert_pattern(served) for _ in range(3)]
    closed = insert_pattern(served, operator_id="closed")
    with psycopg.connect(database) as other, psycopg.connect(database, autocommit=True) as work:
        other.execute("select from ledger for update")
        engine = Engine(work)
        work.execute("set lock_timeout = '700ms'")
        assert engine.score_queue().done == 3
        other.rollback()
        assert engine.score_queue().done == 1
    assert all_scored(served, [*good, closed])
    assert dead_letters(served) == {}


def test_an_error_of_the_whole_server_blames_no_row(served: Connection) -> None:
    """A full disk raises for every row; nothing was written, so the batch is tried again."""
    refuse(served, raising("53100"))
    closed = [insert_pattern(served, operator_id="closed") for _ in range(4)]
    with pytest.raises(psycopg.errors.DiskFull):
        Engine(served).score_queue()
    assert count(served, "ml.queue") == len(closed)
    assert dead_letters(served) == {}


def test_the_error_names_the_right_that_a_trigger_needs(served: Connection) -> None:
    served.execute("create table audit (pattern_id uuid)")
    refuse(served, "insert into audit values (new.id); return null;", "after update")
    closed = insert_pattern(served, operator_id="closed")
    drain(served)
    assert "grant insert on public.audit to ml_writer" in dead_letters(served)[closed]
    served.execute("grant insert on public.audit to ml_writer")
    served.execute("select ml.redrive(error_like => '%%')")
    drain(served)
    assert all_scored(served, [closed])
    assert count(served, "audit") >= 1


# Labels and reblend


def test_labelling_skips_a_row_that_refuses(served: Connection) -> None:
    refuse(served, raising("P0001"), condition="new.outcome_label is not null")
    good = [insert_pattern(served, detected_at=at(100 + k)) for k in range(6)]
    closed = insert_pattern(served, operator_id="closed", detected_at=at(100))
    assert served.execute("select ml.label_outcomes()").fetchone() == (len(good),)
    found = served.execute("select task, pattern_id::text, error from ml_internal.refusals").fetchall()
    assert [(task, pattern) for task, pattern, _ in found] == [("label_outcomes", closed)]
    assert "immutable" in found[0][2]
    assert served.execute("select ml.label_outcomes()").fetchone() == (0,), "not tried at every turn"
    served.execute("select ml_internal.check_alerts()")
    alert = served.execute("select subject from ml.alerts where type = 'upkeep_failing'").fetchall()
    assert alert == [("label_outcomes",)]

    said = None
    try:
        served.execute("select ml.label(%s, 'positive', 'seen')", [closed])
    except psycopg.Error as error:
        said = first_line(error)
    assert said is not None
    assert "immutable" in said, "a person is told"

    served.execute("drop trigger zz_theirs on pattern_events")
    served.execute("update ml_internal.refusals set refused_at = now() - interval '2 days'")
    assert served.execute("select ml.label_outcomes()").fetchone() == (1,)
    assert count(served, "ml_internal.refusals") == 0
    assert served.execute("select sum(total)::integer from ml_internal.outcome_days").fetchone() == (len(good) + 1,)


def test_labelling_notes_a_row_that_is_swallowed(served: Connection) -> None:
    refuse(served, "return null;")
    insert_pattern(served, operator_id="closed", detected_at=at(100))
    assert served.execute("select ml.label_outcomes()").fetchone() == (0,)
    assert count(served, "ml_internal.refusals") == 1
    assert count(served, "ml_internal.outcome_days where total <> 0") == 0


def test_reblend_skips_a_row_that_refuses(served: Connection) -> None:
    good = [insert_pattern(served) for _ in range(4)]
    closed = insert_pattern(served, operator_id="closed")
    drain(served)
    refuse(served, raising("0A000"))
    before = row_of(served, closed)
    served.execute("select ml.set('ml_weight', 0.25, 'test')")
    done = served.execute("select reblended, refused, finished from ml.reblend('test', false)").fetchone()
    assert done == (len(good), 1, True)
    assert served.execute("select reblended, refused from ml.reblends").fetchone() == (len(good), 1)
    assert row_of(served, closed) == before
    weights = served.execute(
        "select distinct ml_metadata ->> 'ml_weight' from pattern_events where id::text = any (%s)", [good]
    )
    assert weights.fetchall() == [("0.25",)]


# Upkeep


def test_an_alert_tells_of_a_task_that_fails_again_and_again(served: Connection, database: str) -> None:
    served.execute(
        "create or replace function ml.label_outcomes(max_rows integer default null, method text "
        "default 'automatic') returns integer language plpgsql as $$ begin raise 'broken'; end $$"
    )
    every = {"label_due": 0.02, "check_alerts": 0.02}
    standing = "select level, message from ml.alerts where (type, subject) = ('upkeep_failing', 'label_due')"
    with working(database, Options(poll_interval_s=60, heartbeat_s=60, upkeep_s=every)):
        wait_until(lambda: served.execute(standing).fetchone() is not None, "the alert")
        found = served.execute(standing).fetchone()
        assert found is not None
        assert "broken" in found[1]
        served.execute(
            "create or replace function ml.label_outcomes(max_rows integer default null, method text "
            "default 'automatic') returns integer language sql as 'select 0'"
        )
        wait_until(lambda: served.execute(standing).fetchone() is None, "the end of the alert")
