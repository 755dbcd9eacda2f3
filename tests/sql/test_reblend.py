"""Stored rows follow a change of settings when asked to: what a dry run foresees, what a run does, who is recorded."""

from __future__ import annotations

import re
import threading
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from db_functions.database import Connection
from tests.sql.test_blend import Settings, apply, decided, reference, unit, unit_float32
from tests.sql_support import blocked, refused_with, write_scores
from tests.support import insert_pattern, make_champion, row_of, wait_until
from tests.worker_support import count
from worker.cli import main
from worker.operating import operate
from worker.serving.listener import Signals

pytestmark = pytest.mark.compat

COLUMNS = ("run", "seen", "reblended", "changed", "to_blend", "to_rule", "largest_change", "finished")


def reblend(connection: Connection, arguments: str = "", *parameters: Any) -> dict[str, Any]:
    row = connection.execute(
        f"select {', '.join(COLUMNS)} from ml.reblend({arguments})".encode(), parameters
    ).fetchone()
    assert row is not None
    return dict(zip(COLUMNS, row, strict=True))


def everything(connection: Connection) -> list[Any]:
    return connection.execute(
        "select id, ctid, xmin, md5(p::text) from pattern_events p union all "
        "select null, ctid, xmin, md5(r::text) from ml.reblends r order by 1, 2"
    ).fetchall()


@pytest.fixture
def served(transaction: Connection) -> Connection:
    make_champion(transaction, "small-1")
    return transaction


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    before=st.builds(Settings, enabled=st.booleans(), threshold=unit, ml_weight=unit, rule_weight=unit),
    after=st.builds(Settings, enabled=st.booleans(), threshold=unit, ml_weight=unit, rule_weight=unit),
    rows=st.lists(
        st.tuples(st.none() | unit, st.none() | unit_float32, st.booleans()), min_size=1, max_size=8
    ),
)  # fmt: skip
@example(Settings(), Settings(threshold=0.5), [(0.25, 0.5, False), (None, 0.5, False), (0.25, 0.5, True)])
def test_a_dry_run_foresees_what_a_run_does_and_both_equal_the_formula(
    served: Connection, before: Settings, after: Settings, rows: list[tuple[float | None, float | None, bool]]
) -> None:
    with served.transaction(force_rollback=True):
        apply(served, before)
        ids = [insert_pattern(served, confidence=rule) for rule, _, _ in rows]
        reasons = [
            "failed" if ml is None else "low_quality" if low and rule is not None else None for rule, ml, low in rows
        ]
        write_scores(served, ids, [ml for _, ml, _ in rows], reasons)
        apply(served, after)
        stored = everything(served)
        old = {pattern: row_of(served, pattern, "confidence")["confidence"] for pattern in ids}
        foreseen = reblend(served)
        assert everything(served) == stored, "a dry run writes nothing"

        done = reblend(served, "'test', false")
        run = done.pop("run")
        assert {**done, "run": None} == foreseen
        assert served.execute("select seen, reblended, changed from ml.reblends where id = %s", [run]).fetchone() == (
            done["seen"], done["reblended"], done["changed"],
        )  # fmt: skip
        moved = 0
        for pattern, (rule, ml, _), reason in zip(ids, rows, reasons, strict=True):
            now = decided(served, pattern)
            assert now == reference(rule, ml, reason, after)
            moved += ml is not None and (
                abs((now.confidence or 0) - (old[pattern] or 0)) > 1e-6
                or (now.confidence is None) != (old[pattern] is None)
            )
        assert done["changed"] == moved
        assert reblend(served)["reblended"] == 0, "nothing is left to do"


def test_rows_whose_decision_stands_are_not_written(served: Connection) -> None:
    ids = [insert_pattern(served) for _ in range(3)]
    write_scores(served, ids, [0.8, 0.2, 0.9])
    served.execute("select ml.set('sla_ms', 50, 'not of the blend')")
    before = everything(served)
    assert reblend(served, "'test', false")["reblended"] == 0
    assert everything(served)[: len(ids)] == before[: len(ids)]


def test_what_an_application_sees_of_it(served: Connection) -> None:
    """The blend moves and says so; updated_at and everything else stay."""
    pattern = insert_pattern(served)
    write_scores(served, [pattern], [0.8])
    before = row_of(served, pattern)
    served.execute("select ml.set('ml_weight', 0.5, 'test'), ml.set('rule_weight', 0.5, 'test')")
    assert row_of(served, pattern) == before, "a change of settings alone moves nothing"
    assert reblend(served, "'test', false")["changed"] == 1
    after = row_of(served, pattern)
    assert after.pop("confidence") == after.pop("blended_confidence") == pytest.approx(0.5 * 0.8 + 0.5 * 0.7)
    assert after.pop("ml_metadata") == before["ml_metadata"] | {
        "ml_weight": 0.5,
        "rule_weight": 0.5,
        "settings_version": 5,
    }
    assert after == {name: value for name, value in before.items() if name in after}
    assert served.execute("select count(*) from pattern_lifecycle_history").fetchone() == (0,)


def test_selection_and_batches(served: Connection) -> None:
    acme = [insert_pattern(served, detected_at=f"2024-06-0{day}") for day in (1, 2, 3)]
    bolt = [insert_pattern(served, symbol="BOLT") for _ in range(2)]
    write_scores(served, [*acme, *bolt], [0.8] * 5)
    served.execute("select ml.disable('test')")
    assert reblend(served, "symbol => 'BOLT'")["to_rule"] == 2
    assert reblend(served, "since => '2024-06-02'")["reblended"] == 2
    first = reblend(served, "'in parts', false, max_rows => 2, since => '2024-06-01', symbol => 'ACME'")
    assert (first["seen"], first["reblended"], first["finished"]) == (2, 2, False)
    rest = reblend(served, "run => %s, max_rows => 2", first["run"])
    assert (rest["seen"], rest["reblended"], rest["finished"]) == (1, 1, True)
    record = served.execute(
        "select reason, symbol, enabled, seen, reblended, changed, started_by = session_user, "
        "started_at <= finished_at from ml.reblends where id = %s",
        [first["run"]],
    ).fetchone()
    assert record == ("in parts", "ACME", False, 3, 3, 3, True, True)
    assert count(served, "pattern_events where ml_metadata ->> 'reason' = 'ml_disabled'") == 3


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("dry_run => false", "reason"),
        ("'  ', false", "reason"),
        ("'test', false, max_rows => 0", "max_rows is 0"),
        ("run => 7", "run 7"),
    ],
)
def test_refusals(served: Connection, arguments: str, named: str) -> None:
    assert named in refused_with(served, "ML004", f"select ml.reblend({arguments})")


def test_a_run_does_not_go_on_with_other_settings(served: Connection) -> None:
    ids = [insert_pattern(served) for _ in range(3)]
    write_scores(served, ids, [0.8] * 3)
    served.execute("select ml.set('threshold', 0.9, 'test')")
    run = reblend(served, "'test', false, max_rows => 1")["run"]
    served.execute("select ml.set('threshold', 0.95, 'test')")
    said = refused_with(served, "ML004", "select ml.reblend(run => %s)", [run])
    assert said == f"settings have changed since run {run} of ml.reblend began"
    served.execute("select ml.set('threshold', 0.9, 'test')")
    assert reblend(served, "run => %s", run)["finished"]
    assert "was finished at" in refused_with(served, "ML004", "select ml.reblend(run => %s)", [run])


def test_a_score_that_is_being_written_is_waited_for(connection: Connection, database: str) -> None:
    """It was decided with the settings of before, and is not there to be seen until it commits."""
    make_champion(connection, "small-1")
    pattern = insert_pattern(connection)
    results: list[dict[str, Any]] = []
    with psycopg.connect(database) as writer, psycopg.connect(database, autocommit=True) as other:
        write_scores(writer, [pattern], [0.8])
        connection.execute("select ml.disable('test')")
        thread = threading.Thread(target=lambda: results.append(reblend(other, "'test', false")))
        thread.start()
        wait_until(lambda: blocked(connection, other.info.backend_pid), "the run waits for the writer")
        writer.commit()
        thread.join(20)
    assert results[0]["to_rule"] == 1
    assert row_of(connection, pattern, "confidence") == {"confidence": 0.7}


# The command line


@pytest.fixture
def as_operator(connection: Connection, database: str, monkeypatch: pytest.MonkeyPatch) -> Connection:
    """DATABASE_URL names the database, with the rights of ml_operator alone."""
    make_champion(connection, "small-1")
    monkeypatch.setenv("DATABASE_URL", f"{database}&options=-c%20role%3Dml_operator")
    return connection


def test_reblend_from_a_shell(
    as_operator: Connection, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = [insert_pattern(as_operator) for _ in range(7)]
    write_scores(as_operator, ids, [0.8, 0.6, 0.6, 0.2, 0.9, 0.8, 0.8])
    as_operator.execute("select ml.set('threshold', 0.7, 'test')")
    monkeypatch.setattr(operate, "PAGE", 3)
    before = everything(as_operator)
    assert main(["reblend", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "7 of 7" in said
    assert re.search(r"\b2 .* 0\.100", said)
    assert everything(as_operator) == before
    assert main(["reblend"]) == 1
    assert "reason" in capsys.readouterr().err
    assert main(["reblend", "--reason", "threshold raised"]) == 0
    caught = capsys.readouterr()
    assert "7 of 7" in caught.out
    assert re.search(r"\b2 .*blend .*rule", caught.out)
    assert "7/7" in caught.err
    assert as_operator.execute("select reason, seen, finished_at is not null from ml.reblends").fetchall() == [
        ("threshold raised", 7, True)
    ]


def test_a_stopped_run_is_gone_on_with(as_operator: Connection, capsys: pytest.CaptureFixture[str]) -> None:
    ids = [insert_pattern(as_operator) for _ in range(5)]
    write_scores(as_operator, ids, [0.8] * 5)
    as_operator.execute("select ml.disable('test')")
    begun = reblend(as_operator, "'in parts', false, max_rows => 2")
    assert main(["reblend", "--run", str(begun["run"])]) == 0
    assert "3 of 3" in capsys.readouterr().out


def test_contention_is_tried_again(as_operator: Connection, database: str) -> None:
    """A row that a worker holds makes the page wait; a deadlock or a lock timeout makes it be tried again."""
    ids = [insert_pattern(as_operator) for _ in range(3)]
    write_scores(as_operator, ids, [0.8] * 3)
    as_operator.execute("select ml.disable('test')")
    parameters = {"reason": "test", "symbol": None, "since": None, "run": None}
    done: list[operate.Reblended] = []
    with psycopg.connect(database) as holder, psycopg.connect(database, autocommit=True) as other:
        other.execute("set lock_timeout = '50ms'")
        holder.execute("select from pattern_events where id = %s for update", [ids[1]])
        thread = threading.Thread(
            target=lambda: done.append(operate.reblend(other, Signals(), parameters, total=3, progress=False))
        )
        thread.start()
        wait_until(lambda: blocked(as_operator, other.info.backend_pid), "it waits")
        wait_until(lambda: not blocked(as_operator, other.info.backend_pid), "it gives up")
        holder.rollback()
        thread.join(20)
    assert (done[0].to_rule, done[0].finished) == (3, True)


def test_switches_from_a_shell(as_operator: Connection, capsys: pytest.CaptureFixture[str]) -> None:
    make_champion(as_operator, "small-2")
    for arguments, said in (
        (["disable", "--reason", "odd scores"], "ML is disabled from the next row on"),
        (["enable", "--reason", "it was the feed"], "ML is enabled from the next row on"),
        (["rollback", "--reason", "worse"], "small-1 is the champion again"),
        (["promote", "small-2", "--reason", "better after all"], "small-2 is the champion now"),
    ):
        assert main(arguments) == 0, capsys.readouterr().err
        assert capsys.readouterr().out.strip() == said
    changes = as_operator.execute(
        "select name, new_value, reason, changed_by = session_user from ml.settings_history order by id"
    ).fetchall()
    assert changes == [("enabled", "false", "odd scores", True), ("enabled", "true", "it was the feed", True)]
    timeline = as_operator.execute("select version, cause, reason from ml.model_timeline limit 2").fetchall()
    assert timeline == [("small-2", "promote", "better after all"), ("small-1", "rollback", "worse")]
    assert main(["promote", "small-9", "--reason", "typing error"]) == 1
    assert capsys.readouterr().err == "worker: no model of version small-9 is registered\n"


@pytest.mark.parametrize("command", [["disable"], ["enable"], ["rollback"], ["promote", "small-1"]])
def test_no_switch_without_a_reason(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(command)
    assert "--reason" in capsys.readouterr().err
