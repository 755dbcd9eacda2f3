"""Settings: what ml.set takes and refuses, its history, the environment's way in, the doorbell."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from db_functions.database import Connection
from tests.sql_support import blocked, read_value, refused_with, write_scores
from tests.support import DOORBELL, insert_pattern, listen_to_doorbell, make_champion, register, row_of, wait_until

pytestmark = pytest.mark.compat


def setting(connection: Connection, name: str) -> Any:
    found = connection.execute(f"select {name} from ml.settings").fetchone()
    assert found is not None
    return found[0]


def history(connection: Connection) -> list[tuple[Any, ...]]:
    return connection.execute(
        "select name, old_value, new_value, reason, source from ml.settings_history order by id"
    ).fetchall()


# What is taken


@pytest.mark.parametrize(
    ("name", "given", "stored"),
    [
        ("threshold", 0.25, 0.25),
        ("threshold", 1, 1.0),
        ("threshold", 0, 0.0),
        ("threshold", Decimal("0.125"), 0.125),
        ("threshold", "0.5", 0.5),
        ("threshold", " 0.5 ", 0.5),
        ("sla_ms", 1e9, 1e9),
        ("min_quality", 1.0, 1.0),
        ("label_horizon", 1000, 1000),
        ("label_horizon", 20.0, 20),
        ("label_horizon", Decimal(5), 5),
        ("enabled", False, False),
        ("enabled", "off", False),
        ("enabled", 0, False),
        ("benchmark_symbol", "SPY", "SPY"),
        ("benchmark_symbol", "", None),
        ("benchmark_symbol", None, None),
        ("doorbell", "off", "off"),
    ],
)
def test_values_of_every_kind_are_taken(transaction: Connection, name: str, given: Any, stored: Any) -> None:
    before = setting(transaction, "version")
    transaction.execute("select ml.set(%s, %s, 'test')", [name, given])
    assert setting(transaction, name) == stored
    assert setting(transaction, "version") == before + 1


@pytest.mark.parametrize(
    ("literal", "column", "stored"),
    [
        ("'threshold', 0.35", "threshold", 0.35),
        ("'threshold', '0.35'", "threshold", 0.35),
        ("'threshold', 1", "threshold", 1.0),
        ("'enabled', false", "enabled", False),
        ("'enabled', 'no'", "enabled", False),
        ("'history_lag', '36 hours'", "history_lag::text", "36:00:00"),
        ("'history_lag', '00:30'", "history_lag::text", "00:30:00"),
        ("'benchmark_symbol', null", "benchmark_symbol", None),
    ],
)
def test_values_as_typed_at_a_prompt(transaction: Connection, literal: str, column: str, stored: Any) -> None:
    transaction.execute(f"select ml.set({literal}, 'test')")
    assert setting(transaction, column) == stored


# What is refused


@pytest.mark.parametrize(
    ("name", "values", "allowed"),
    [
        ("threshold", [-0.01, 1.01, "NaN", "Infinity", "high", "", None, True], "0 to 1"),
        ("ml_weight", [-1, 2, "NaN"], "0 to 1"),
        ("rule_weight", [-1, 2, "NaN"], "0 to 1"),
        ("min_quality", [-1, 2, "NaN"], "0 to 1"),
        ("sla_ms", [0, -5, "NaN", "Infinity", "1e400"], "milliseconds above 0"),
        ("label_horizon", [0, 1001, 2.5, "99999999999", "NaN"], "1 to 1000 bars"),
        ("history_lag", ["-1 day", "366 days", "a while", 5, "5", "1 month -31 days"], "an interval of 0 to 365 days"),
        ("doorbell", ["maybe", True, ""], "on or off"),
        ("enabled", ["perhaps", 2.5, ""], "true or false"),
    ],
)
def test_a_bad_value_is_refused_and_told_the_range(
    transaction: Connection, name: str, values: list[Any], allowed: str
) -> None:
    before = transaction.execute("select s::text from ml.settings s").fetchone()
    for value in values:
        message = refused_with(transaction, "ML004", "select ml.set(%s, %s, 'test')", [name, value])
        assert message.startswith(f'setting "{name}" cannot be ')
        assert f"allowed: {allowed}" in message
    assert transaction.execute("select s::text from ml.settings s").fetchone() == before
    assert history(transaction) == []


def test_every_setting_tells_its_range(transaction: Connection) -> None:
    untold = transaction.execute(
        "select attname from pg_attribute where attrelid = 'ml.settings'::regclass and attnum > 0 and not attisdropped "
        "and attname not in ('singleton', 'version') and col_description(attrelid, attnum) is null"
    ).fetchall()
    assert untold == []


@pytest.mark.parametrize("name", ["no_such", "singleton", "version", "ctid", "THRESHOLD", "threshold = 1; --", None])
def test_an_unknown_setting_is_refused(transaction: Connection, name: str | None) -> None:
    message = refused_with(transaction, "ML004", "select ml.set(%s, '1', 'test')", [name])
    assert message.startswith("there is no setting")


@pytest.mark.parametrize("reason", [None, "", "  "])
@pytest.mark.parametrize("call", ["set('threshold', 0.5, %s)", "enable(%s)", "disable(%s)"])
def test_a_change_needs_a_reason(transaction: Connection, call: str, reason: str | None) -> None:
    assert "needs a reason" in refused_with(transaction, "ML004", f"select ml.{call}", [reason])


# History


def test_who_when_why_and_what(transaction: Connection) -> None:
    transaction.execute("set local role ml_operator")
    transaction.execute("select ml.set('threshold', 0.25, 'too strict')")
    transaction.execute("select ml.disable('an incident')")
    transaction.execute("select ml.enable('it is over')")
    transaction.execute("reset role")
    assert history(transaction) == [
        ("threshold", "0.5", "0.25", "too strict", "sql"),
        ("enabled", "true", "false", "an incident", "sql"),
        ("enabled", "false", "true", "it is over", "sql"),
    ]
    # The login, not the role of the moment: people share roles.
    rows = transaction.execute(
        "select version, changed_by = session_user, changed_at between now() and clock_timestamp() "
        "from ml.settings_history order by id"
    ).fetchall()
    assert rows == [(2, True, True), (3, True, True), (4, True, True)]
    assert setting(transaction, "version") == 4


def test_a_refused_change_leaves_no_trace_in_the_version(transaction: Connection) -> None:
    refused_with(transaction, "ML004", "select ml.set('threshold', 7, 'test')")
    assert setting(transaction, "version") == 1


def test_the_next_row_obeys(transaction: Connection) -> None:
    make_champion(transaction, "small-1")
    patterns = [insert_pattern(transaction) for _ in range(3)]
    write_scores(transaction, patterns[:1], [0.75])
    transaction.execute("select ml.disable('test')")
    write_scores(transaction, patterns[1:2], [0.75])
    transaction.execute("select ml.enable('test')")
    write_scores(transaction, patterns[2:], [0.75])
    reasons = [row_of(transaction, pattern)["ml_metadata"]["reason"] for pattern in patterns]
    assert reasons == ["scored", "ml_disabled", "scored"]


# The environment


def apply(connection: Connection, name: str, value: str | None) -> bool:
    found = connection.execute("select ml_internal.apply_environment(%s, %s)", [name, value]).fetchone()
    assert found is not None
    return bool(found[0])


@pytest.mark.parametrize(
    ("variable", "value", "name", "stored"),
    [
        ("ENABLE_PHASE5_ML", "False", "enabled", False),
        ("ENABLE_PHASE5_ML", "0", "enabled", False),
        ("ML_CONFIDENCE_THRESHOLD", "0.7", "threshold", 0.7),
        ("ML_CONFIDENCE_WEIGHT", "0.25", "ml_weight", 0.25),
        ("RULE_CONFIDENCE_WEIGHT", "0.25", "rule_weight", 0.25),
    ],
)
def test_each_variable_sets_its_setting(
    transaction: Connection, variable: str, value: str, name: str, stored: Any
) -> None:
    assert apply(transaction, variable, value) is True
    assert setting(transaction, name) == stored
    assert (f"{variable}={value}", "environment") in [row[3:] for row in history(transaction) if row[0] == name]


def test_a_restart_applies_nothing_and_undoes_nothing(transaction: Connection) -> None:
    assert apply(transaction, "ENABLE_PHASE5_ML", "true") is True
    assert apply(transaction, "ENABLE_PHASE5_ML", "true") is False
    transaction.execute("select ml.disable('an incident')")
    assert apply(transaction, "ENABLE_PHASE5_ML", "true") is False
    assert setting(transaction, "enabled") is False
    # The operator changed the environment: now it is meant.
    assert apply(transaction, "ENABLE_PHASE5_ML", "1") is True
    assert setting(transaction, "enabled") is True


def test_one_variable_does_not_count_for_another(transaction: Connection) -> None:
    assert apply(transaction, "ML_CONFIDENCE_WEIGHT", "0.5") is True
    assert apply(transaction, "RULE_CONFIDENCE_WEIGHT", "0.5") is True
    assert apply(transaction, "ML_CONFIDENCE_WEIGHT", "0.5") is False


def test_setting_a_weight_fixes_both(transaction: Connection) -> None:
    """The first one takes the rest of 1 from the other; from then on each is obeyed to the letter."""
    assert setting(transaction, "weights") == "learned"
    transaction.execute("select ml.set('ml_weight', 0.7, 'as before')")
    assert [setting(transaction, name) for name in ("weights", "ml_weight", "rule_weight")] == ["fixed", 0.7, 0.3]
    transaction.execute("select ml.set('rule_weight', 0.1, 'less')")
    assert [setting(transaction, name) for name in ("weights", "ml_weight", "rule_weight")] == ["fixed", 0.7, 0.1]


def test_the_variables_of_the_earlier_system_fix_what_they_name(transaction: Connection) -> None:
    for name, value in {"ML_CONFIDENCE_WEIGHT": "0.6", "RULE_CONFIDENCE_WEIGHT": "0.4"}.items():
        assert apply(transaction, name, value) is True
    assert [setting(transaction, name) for name in ("weights", "ml_weight", "rule_weight")] == ["fixed", 0.6, 0.4]
    transaction.execute("select ml.set('weights', 'learned', 'let the evidence decide')")
    assert apply(transaction, "ML_CONFIDENCE_WEIGHT", "0.6") is False, "a restart undoes nothing"
    assert setting(transaction, "weights") == "learned"


def test_learned_weights_are_the_champions(transaction: Connection) -> None:
    """At promotion, and when they are asked for again; every change keeps its evidence."""
    evidence = {"weights": {"ml_weight": 0.9, "standard_error": 0.05, "rows": 800, "measured_on": "forward folds"}}
    register(transaction, "with", metrics=evidence)
    register(transaction, "without")
    transaction.execute("select ml.promote('with', 'test')")
    assert (setting(transaction, "ml_weight"), setting(transaction, "rule_weight")) == (0.9, pytest.approx(0.1))
    assert "800 rows" in [row for row in history(transaction) if row[0] == "ml_weight"][-1][3]
    transaction.execute("select ml.promote('without', 'test', true)")
    assert (setting(transaction, "ml_weight"), setting(transaction, "rule_weight")) == (1, 0)
    transaction.execute("select ml.set('ml_weight', 0.5, 'by hand'), ml.rollback('back')")
    assert setting(transaction, "ml_weight") == 0.5, "what a person sets stays"
    transaction.execute("select ml.set('weights', 'learned', 'again')")
    assert setting(transaction, "ml_weight") == 0.9


def test_an_absent_variable_changes_nothing(transaction: Connection) -> None:
    assert apply(transaction, "ML_CONFIDENCE_WEIGHT", None) is False
    assert apply(transaction, "ML_CONFIDENCE_WEIGHT", "0.5") is True
    assert apply(transaction, "ML_CONFIDENCE_WEIGHT", None) is False
    assert setting(transaction, "ml_weight") == 0.5


def test_a_bad_variable_is_named_with_what_is_allowed(transaction: Connection) -> None:
    statement = "select ml_internal.apply_environment(%s, %s)"
    message = refused_with(transaction, "ML004", statement, ["ML_CONFIDENCE_THRESHOLD", "55%"])
    assert message.startswith("the environment variable ML_CONFIDENCE_THRESHOLD cannot be applied: ")
    assert "cannot be 55%" in message
    assert "allowed: 0 to 1" in message
    assert "sets nothing" in refused_with(transaction, "ML004", statement, ["PATH", "/"])
    assert history(transaction) == []


def test_workers_that_start_together_apply_once(connection: Connection, database: str) -> None:
    with psycopg.connect(database) as other:
        assert apply(other, "ML_CONFIDENCE_WEIGHT", "0.5") is True
        with psycopg.connect(database) as second:
            second.execute("set statement_timeout = '20s'")
            with psycopg.connect(database, autocommit=True) as watcher:
                second.pgconn.send_query(b"select ml_internal.apply_environment('ML_CONFIDENCE_WEIGHT', '0.5')")
                wait_until(lambda: blocked(watcher, second.info.backend_pid), "waiting for the first worker")
                other.commit()
                result = read_value(second)
            assert result == b"f"
            second.commit()
    assert [row[0] for row in history(connection)].count("ml_weight") == 1


# The doorbell


def rings(connection: Connection, timeout: float = 0.1) -> list[str]:
    return [notice.channel.rpartition("_")[0] for notice in connection.notifies(timeout=timeout)]


@pytest.fixture
def listening(database: str) -> Iterator[Connection]:
    with psycopg.connect(database, autocommit=True) as connected:
        listen_to_doorbell(connected)
        yield connected


def test_one_ring_per_transaction_that_commits(connection: Connection, listening: Connection) -> None:
    with connection.transaction():
        insert_pattern(connection)
        insert_pattern(connection)
        connection.execute(
            "insert into pattern_events (symbol, timeframe, pattern_type) "
            "select 'S', '1d', 'x' from generate_series(1, 9)"
        )
    assert rings(listening) == [DOORBELL]
    insert_pattern(connection)
    insert_pattern(connection)
    assert rings(listening) == [DOORBELL, DOORBELL]
    with connection.transaction(force_rollback=True):
        insert_pattern(connection)
    assert rings(listening) == []


def test_nobody_rings_while_the_bell_is_muted(connection: Connection, listening: Connection) -> None:
    connection.execute(
        "select setval('ml_internal.doorbell_muted_until', (extract(epoch from clock_timestamp()) * "
        "1000)::bigint + 5000)"
    )
    insert_pattern(connection)
    assert rings(listening) == []
    # A lease that has run out rings again, without anybody having done anything.
    connection.execute(
        "select setval('ml_internal.doorbell_muted_until', (extract(epoch from clock_timestamp()) * 1000)::bigint - 1)"
    )
    insert_pattern(connection)
    assert rings(listening) == [DOORBELL]


def test_doorbell_off_sends_nothing_and_on_rings_again(connection: Connection, listening: Connection) -> None:
    connection.execute("select ml.set('doorbell', 'off', 'two-phase commit')")
    insert_pattern(connection)
    assert rings(listening) == []
    assert connection.execute("select count(*) from ml.queue").fetchone() == (1,)
    # Whatever a worker does to the bell: off is off.
    connection.execute("select setval('ml_internal.doorbell_muted_until', 0)")
    insert_pattern(connection)
    assert rings(listening) == []
    connection.execute("select ml.set('doorbell', 'on', 'test')")
    insert_pattern(connection)
    assert rings(listening) == [DOORBELL]


@pytest.mark.parametrize(("now", "tried"), [("on", "off"), ("off", "on")])
def test_a_rolled_back_change_leaves_the_doorbell_as_it_was(
    connection: Connection, listening: Connection, now: str, tried: str
) -> None:
    connection.execute("select ml.set('doorbell', %s, 'test')", [now])
    with connection.transaction(force_rollback=True):
        connection.execute("select ml.set('doorbell', %s, 'test')", [tried])
    insert_pattern(connection)
    assert rings(listening) == ([DOORBELL] if now == "on" else [])


def test_two_phase_commit_needs_the_doorbell_off(connection: Connection) -> None:
    if connection.execute("show max_prepared_transactions").fetchone() == ("0",):
        pytest.skip("this server allows no prepared transactions")
    connection.execute("begin")
    insert_pattern(connection)
    with pytest.raises(psycopg.errors.FeatureNotSupported, match="NOTIFY"):
        connection.execute("prepare transaction 'ringing'")
    connection.execute("rollback")

    connection.execute("select ml.set('doorbell', 'off', 'two-phase commit')")
    connection.execute("begin")
    pattern = insert_pattern(connection)
    connection.execute("prepare transaction 'silent'")
    connection.execute("commit prepared 'silent'")
    assert connection.execute("select pattern_id::text from ml.queue").fetchall() == [(pattern,)]


# Renewal by upkeep


def advise(connection: Connection, weight: float, error: float, rows: int = 5000, blocks: int = 20) -> None:
    """As if unseen rows of the champion asked for this weight."""
    connection.execute(
        "create or replace function ml_internal.best_weight(model integer, source text default 'live', "
        "out ml_weight double precision, out standard_error double precision, out rows bigint, out blocks bigint) "
        f"language sql as $$ select {weight}::float8, {error}::float8, {rows}::bigint, {blocks}::bigint $$".encode()
    )


def renew(connection: Connection, hours: int = 25) -> int:
    connection.execute("update ml_internal.schedule set ran_at = now() - %s * interval '1 hour'", [hours])
    row = connection.execute("select ml_internal.renew_weights()").fetchone()
    assert row is not None
    return int(row[0])


def test_unseen_outcomes_renew_learned_weights_when_they_moved_surely(transaction: Connection) -> None:
    make_champion(transaction, "one")
    weights = "select ml_weight, rule_weight from ml.settings"
    for weight, error, rows, blocks in ((0.6, 0.2, 5000, 20), (0.6, 0.05, 5000, 4), (0.6, 0.05, 100, 20)):
        advise(transaction, weight, error, rows, blocks)
        assert renew(transaction) == 0, "not sure, or too few"
    advise(transaction, 0.6, 0.05)
    assert renew(transaction, 23) == 0, "once a day"
    assert renew(transaction) == 1
    found = transaction.execute(weights).fetchone()
    assert found == pytest.approx((0.6016, 0.3984))
    history = transaction.execute(
        "select name, source, reason from ml.settings_history order by id desc limit 2"
    ).fetchall()
    assert {(name, source) for name, source, _ in history} == {("ml_weight", "learned"), ("rule_weight", "learned")}
    assert all("one: 0.600 of the weight on 5000 rows in 20 blocks" in reason for _, _, reason in history)
    assert renew(transaction) == 0, "where they are"
    transaction.execute("select ml.set('ml_weight', 0.9, 'a person')")
    assert renew(transaction) == 0, "a weight that was set stays"
    assert transaction.execute(weights).fetchone() == pytest.approx((0.9, 0.1))
