"""The registry: registering, the parity gate, and who is champion when."""

from __future__ import annotations

import itertools
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from db_functions.contract import VERSION
from db_functions.database import Connection
from tests.sql_support import blocked, read_value, refusal, refused_with
from tests.support import make_champion, register, small_model, wait_until

pytestmark = pytest.mark.compat


def promote(connection: Connection, version: str, *, force: bool | None = False) -> None:
    connection.execute("select ml.promote(%s, 'test', %s)", [version, force])


def rollback(connection: Connection) -> str:
    found = connection.execute("select ml.rollback('test')").fetchone()
    assert found is not None
    return str(found[0])


def champions(connection: Connection) -> list[tuple[str, str]]:
    """Version and cause of every championship, oldest first."""
    return connection.execute(
        "select m.version, a.cause from ml.aliases a join ml.models m on m.id = a.model_id "
        "where a.alias = 'champion' order by a.id"
    ).fetchall()


def champion(connection: Connection) -> str | None:
    found = connection.execute("select ml.model_at('champion', clock_timestamp())").fetchone()
    return found[0] if found else None


# Registering


def test_the_same_file_again_is_the_same_model(transaction: Connection) -> None:
    register(transaction, "a", parity=None)
    first = transaction.execute("select id, sha256, created_by from ml.models").fetchall()
    register(transaction, "a", parity=None)
    assert transaction.execute("select id, sha256, created_by from ml.models").fetchall() == first
    assert transaction.execute("select sha256 = encode(sha256(onnx), 'hex') from ml.models").fetchone() == (True,)


REGISTER = "select ml_internal.register_model(%s, 'test', %s, 1, '{}', '{}', '{}', 0, '{}', '', '{}', '{}', null)"


def test_a_version_belongs_to_its_file(transaction: Connection) -> None:
    register(transaction, "a", parity=None)
    message = refused_with(transaction, "ML005", REGISTER, ["a", b"another file"])
    assert message.startswith("version a was registered at ")
    assert message.endswith("with another file")


@pytest.mark.parametrize("version", [None, "", "-a", "a b", "a/b", "a" * 101, "é", "a\n"])
def test_a_version_that_cannot_be_typed_is_refused(transaction: Connection, version: str | None) -> None:
    refused_with(transaction, "ML005", REGISTER, [version, b"file"])


@pytest.mark.parametrize("version", ["a", "2024.1+b_c-d", "a" * 100, "7"])
def test_versions_that_are_taken(transaction: Connection, version: str) -> None:
    transaction.execute(REGISTER, [version, b"file"])


def test_a_model_without_a_file_is_refused(transaction: Connection) -> None:
    assert isinstance(refusal(transaction, REGISTER, ["a", None]), psycopg.errors.NotNullViolation)


def test_two_jobs_registering_one_version_at_once(database: str, connection: Connection) -> None:
    data = small_model("a")
    with psycopg.connect(database) as first, psycopg.connect(database) as second:
        register(first, "a", data, parity=None)
        second.execute("set statement_timeout = '20s'")
        second.pgconn.send_query(
            b"select ml_internal.register_model('a', 'test', (decode('%s', 'hex')), 1, '{}', '{}', '{}', 0, "
            b"'{}', '', '{}', '{}', null) = 1" % data.hex().encode()
        )
        wait_until(lambda: blocked(connection, second.info.backend_pid), "waiting for the first job")
        first.commit()
        assert read_value(second) == b"t"
        second.commit()
    assert connection.execute("select count(*) from ml.models").fetchone() == (1,)


# The gate


def test_no_parity_check_no_promotion(transaction: Connection) -> None:
    register(transaction, "a", parity=None)
    message = refused_with(transaction, "ML002", "select ml.promote('a', 'test')")
    assert message == "model a was not promoted: parity: no parity check is recorded for it"
    assert champion(transaction) is None


@pytest.mark.parametrize("amount", [2e-5, "NaN", "Infinity"])
def test_the_newest_parity_check_counts(transaction: Connection, amount: Any) -> None:
    register(transaction, "a", parity=0.0)
    register(transaction, "a", parity=amount)
    message = refused_with(transaction, "ML002", "select ml.promote('a', 'test')")
    assert "parity" in message
    register(transaction, "a", parity=1e-6)
    promote(transaction, "a")
    assert champion(transaction) == "a"


def test_a_parity_check_of_no_rows_failed(transaction: Connection) -> None:
    register(transaction, "a", parity=None)
    assert transaction.execute("select ml_internal.record_parity('a', 0, 1e-5, 0, 'test')").fetchone() == (False,)
    assert "over 0 rows" in refused_with(transaction, "ML002", "select ml.promote('a', 'test')")


@pytest.mark.parametrize("arguments", ["0, 'NaN'", "0, 'Infinity'", "0, 2", "0, -1", "-1, 1e-5"])
def test_a_parity_check_that_proves_nothing_is_refused(transaction: Connection, arguments: str) -> None:
    register(transaction, "a", parity=None)
    assert "proves nothing" in refused_with(
        transaction, "ML005", f"select ml_internal.record_parity('a', {arguments}, 8, 'test')"
    )


@pytest.mark.parametrize(
    "statement",
    [
        "select ml.promote('nobody', 'test')",
        "select ml.promote('nobody', 'test', true)",
        "select ml.promote(null, 'test')",
        "select ml.retire('nobody', 'test')",
        "select ml_internal.record_parity('nobody', 0, 1e-5, 8, 'test')",
    ],
)
def test_an_unknown_version(transaction: Connection, statement: str) -> None:
    assert "is registered" in refused_with(transaction, "ML003", statement)


@pytest.mark.parametrize("reason", [None, "", " \t "])
def test_every_change_needs_a_reason(transaction: Connection, reason: str | None) -> None:
    make_champion(transaction, "a")
    make_champion(transaction, "b")
    for statement in ("promote('a', %s)", "promote('a', %s, true)", "rollback(%s)", "retire('a', %s)"):
        assert "needs a reason" in refused_with(transaction, "ML002", f"select ml.{statement}", [reason])
    assert champion(transaction) == "b"


def test_force_passes_the_gate_and_is_recorded_only_when_it_was_needed(transaction: Connection) -> None:
    register(transaction, "a", parity=None)
    register(transaction, "b", parity=1.0)
    register(transaction, "c", parity=0.0)
    for version in "abc":
        promote(transaction, version, force=True)
    rows = transaction.execute("select version, forced, reason from ml.model_timeline order by version").fetchall()
    assert rows == [("a", True, "test"), ("b", True, "test"), ("c", False, "test")]


def test_a_null_force_forces_nothing(transaction: Connection) -> None:
    register(transaction, "a", parity=None)
    refused_with(transaction, "ML002", "select ml.promote('a', 'test', null)")


def test_a_version_is_the_same_for_the_check_as_for_the_registry(transaction: Connection) -> None:
    row = transaction.execute(
        "select count(*) from pg_constraint where conrelid = 'ml.models'::regclass "
        "and position(%s in pg_get_constraintdef(oid)) > 0",
        [f"'^{VERSION.pattern}$'"],
    ).fetchone()
    assert row == (1,)


def test_a_retired_model_stays_retired(transaction: Connection) -> None:
    make_champion(transaction, "a")
    make_champion(transaction, "b")
    transaction.execute("select ml.retire('a', 'leaks')")
    for force in (False, True):
        message = refused_with(transaction, "ML002", "select ml.promote('a', 'test', %s)", [force])
        assert "it was retired at" in message
        assert message.endswith(": leaks")
    row = transaction.execute("select retired_by = session_user, retired_reason from ml.models where version = 'a'")
    assert row.fetchone() == (True, "leaks")


def test_the_champion_cannot_be_retired(transaction: Connection) -> None:
    make_champion(transaction, "a")
    assert "is the champion" in refused_with(transaction, "ML002", "select ml.retire('a', 'test')")


def test_promoting_the_champion_again_does_nothing(transaction: Connection) -> None:
    make_champion(transaction, "a")
    register(transaction, "a", parity=1.0)
    promote(transaction, "a")
    assert champions(transaction) == [("a", "promote")]


# Rollback


def test_rollback_goes_back_one_by_one_and_stops(transaction: Connection) -> None:
    refused_with(transaction, "ML002", "select ml.rollback('test')")
    for version in "abc":
        make_champion(transaction, version)
    assert rollback(transaction) == "b"
    assert rollback(transaction) == "a"
    message = refused_with(transaction, "ML002", "select ml.rollback('test')")
    assert message == "no earlier champion than a is left to roll back to"
    assert champions(transaction) == [
        ("a", "promote"),
        ("b", "promote"),
        ("c", "promote"),
        ("b", "rollback"),
        ("a", "rollback"),
    ]


def test_after_a_rollback_a_new_model_rolls_back_to_the_one_that_stood(transaction: Connection) -> None:
    for version in "abc":
        make_champion(transaction, version)
    assert rollback(transaction) == "b"
    make_champion(transaction, "d")
    # Not to c, which was rolled back from.
    assert rollback(transaction) == "b"
    assert rollback(transaction) == "a"
    refused_with(transaction, "ML002", "select ml.rollback('test')")


def test_rollbacks_end_also_when_a_model_was_promoted_twice(transaction: Connection) -> None:
    make_champion(transaction, "a")
    make_champion(transaction, "b")
    promote(transaction, "a")
    assert rollback(transaction) == "b"
    assert rollback(transaction) == "a"
    refused_with(transaction, "ML002", "select ml.rollback('test')")


def test_rollback_passes_over_the_retired(transaction: Connection) -> None:
    for version in "abc":
        make_champion(transaction, version)
    transaction.execute("select ml.retire('b', 'test')")
    assert rollback(transaction) == "a"


def test_a_retired_model_does_not_bring_back_what_it_replaced(transaction: Connection) -> None:
    for version in "abc":
        make_champion(transaction, version)
    assert rollback(transaction) == "b"
    make_champion(transaction, "d")
    transaction.execute("select ml.retire('b', 'test')")
    # c was rolled back from; what b stood on is a.
    assert rollback(transaction) == "a"


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.sampled_from(["promote a", "promote b", "promote c", "promote d", "rollback"]), max_size=14))
def test_rollback_is_a_stack(transaction: Connection, steps: list[str]) -> None:
    """Promotions push, rollbacks pop; what a pop uncovers is never what was popped."""
    with transaction.transaction(force_rollback=True):
        for version in "abcd":
            register(transaction, version)
        stack: list[str] = []
        for step in steps:
            if step == "rollback":
                # Promoting a model that is already champion pushes nothing, so neighbours differ.
                if len(stack) < 2:
                    refused_with(transaction, "ML002", "select ml.rollback('test')")
                else:
                    stack.pop()
                    assert rollback(transaction) == stack[-1]
            else:
                version = step.removeprefix("promote ")
                promote(transaction, version)
                if not stack or stack[-1] != version:
                    stack.append(version)
            assert champion(transaction) == (stack[-1] if stack else None)


# Aliases in time


def test_championships_meet_without_gap_or_overlap(transaction: Connection) -> None:
    for version in "abc":
        make_champion(transaction, version)
    rollback(transaction)
    promote(transaction, "a")
    spans = transaction.execute(
        "select valid_from, valid_to from ml.aliases where alias = 'champion' order by id"
    ).fetchall()
    assert len(spans) == 5
    for (_, end), (start, _) in itertools.pairwise(spans):
        assert end == start
    assert [end for _, end in spans].count(None) == 1
    assert spans[-1][1] is None
    assert all(end is None or start < end for start, end in spans)


def test_model_at_around_each_change(transaction: Connection) -> None:
    for version in "ab":
        make_champion(transaction, version)
    rollback(transaction)
    changes = [
        row[0] for row in transaction.execute("select valid_from from ml.aliases where alias = 'champion' order by id")
    ]

    def at(expression: str, moment: Any) -> Any:
        found = transaction.execute(f"select ml.model_at('champion', {expression})", [moment]).fetchone()
        assert found is not None
        return found[0]

    just_before = "%s::timestamptz - interval '1 microsecond'"
    assert [at(just_before, moment) for moment in changes] == [None, "a", "b"]
    assert [at("%s", moment) for moment in changes] == ["a", "b", "a"]
    assert at("%s", "infinity") is None
    assert at("%s::timestamptz + interval '100 years'", changes[-1]) == "a"
    assert at("%s", "-infinity") is None
    assert transaction.execute("select ml.model_at('challenger', now())").fetchone() == (None,)


def test_a_clock_that_steps_back_makes_no_overlap(transaction: Connection) -> None:
    make_champion(transaction, "a")
    transaction.execute("update ml.aliases set valid_from = now() + interval '1 hour'")
    make_champion(transaction, "b")
    spans = transaction.execute("select valid_from, valid_to from ml.aliases order by id").fetchall()
    assert spans[0][1] == spans[1][0] >= spans[0][0]


def test_two_promotions_at_once_come_one_after_the_other(database: str, connection: Connection) -> None:
    for version in "ab":
        register(connection, version)
    with psycopg.connect(database) as first, psycopg.connect(database) as second:
        promote(first, "a")
        second.execute("set statement_timeout = '20s'")
        second.pgconn.send_query(b"select ml.promote('b', 'test')")
        wait_until(lambda: blocked(connection, second.info.backend_pid), "waiting for the first promotion")
        first.commit()
        assert read_value(second) == b"b"
        second.commit()
    assert champions(connection) == [("a", "promote"), ("b", "promote")]
    spans = connection.execute("select valid_from, valid_to from ml.aliases order by id").fetchall()
    assert spans[0][1] == spans[1][0]


def test_there_is_never_a_second_champion(transaction: Connection) -> None:
    make_champion(transaction, "a")
    error = refusal(
        transaction,
        "insert into ml.aliases (alias, model_id, cause, valid_from, set_by, reason) "
        "select alias, model_id, cause, valid_from, set_by, reason from ml.aliases",
    )
    assert isinstance(error, psycopg.errors.UniqueViolation)


def test_a_scorer_holds_a_promotion_up_until_it_has_written(database: str, connection: Connection) -> None:
    """So that each score's model was champion at its moment."""
    make_champion(connection, "a")
    register(connection, "b")
    with psycopg.connect(database) as scorer, psycopg.connect(database) as operator:
        scorer.execute("lock table ml_internal.gate in row share mode")
        operator.execute("set statement_timeout = '20s'")
        operator.pgconn.send_query(b"select ml.promote('b', 'test')")
        wait_until(lambda: blocked(connection, operator.info.backend_pid), "waiting for the scorer")
        scorer.commit()
        assert read_value(operator) == b"b"


def test_changes_are_announced_when_they_commit(database: str, connection: Connection) -> None:
    with psycopg.connect(database, autocommit=True) as listener:
        listener.execute("listen ml_model")

        def heard() -> list[str]:
            return [notice.payload for notice in listener.notifies(timeout=0.2)]

        for version in "ab":
            make_champion(connection, version)
        assert heard() == ["a", "b"]
        with connection.transaction(force_rollback=True):
            rollback(connection)
        assert heard() == []
        rollback(connection)
        assert heard() == ["a"]
        promote(connection, "a")
        assert heard() == []
