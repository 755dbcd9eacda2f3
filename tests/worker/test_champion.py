"""Champions, settings and the environment change while a worker runs and rows arrive."""

from __future__ import annotations

import errno
import itertools
import math
import threading
from collections.abc import Mapping
from typing import Any

import pytest

from db_functions.database import Connection
from tests.support import insert_bars, insert_pattern, make_champion, register, row_of, small_model, wait_until
from tests.worker_support import FAST, SLOW, count, process, scored_true_to_the_champion, working
from worker.cli import main
from worker.serving import loading
from worker.serving.champion import Champion


def wait_for_scores(connection: Connection) -> None:
    wait_until(lambda: count(connection, "ml.queue") == 0, "the queue is drained")


def served_by(connection: Connection) -> tuple[str, str]:
    """Which model scores a row that is inserted now, and in which role."""
    pattern = insert_pattern(connection)
    wait_for_scores(connection)
    found = connection.execute(
        "select m.version, d.role from ml.predictions d join ml.models m on m.id = d.model_id where d.pattern_id = %s",
        [pattern],
    )
    return found.fetchone() or ("", "")


def champion(connection: Connection) -> str:
    (version,) = connection.execute("select ml.model_at('champion', clock_timestamp())").fetchone() or ("",)
    return str(version)


def test_promotions_and_rollbacks_while_rows_arrive(connection: Connection, database: str) -> None:
    insert_bars(connection)
    versions = ["one", "two", "three"]
    for k, version in enumerate(versions):
        register(connection, version, small_model(version, bias=k / 2))
    with working(database):
        for step in range(24):
            match step:
                case 2 | 6 | 10 | 14:
                    version = versions[(step - 2) // 4 % 3]
                    connection.execute("select ml.promote(%s, 'test')", [version])
                case 18 | 21:
                    connection.execute("select ml.rollback('test')")
            for _ in range(12):
                insert_pattern(connection)
            if step % 4 == 1 and step > 1:
                # So that each champion gets some; the other rows find the swap under way.
                wait_until(lambda: served_by(connection) == (champion(connection), "champion"), "the swap")
        wait_for_scores(connection)
    assert scored_true_to_the_champion(connection)
    assert count(connection, "pattern_events where ml_metadata ->> 'reason' = 'pending'") == 0
    unscored = count(connection, "pattern_events where scored_at is null")
    # Before the first promotion there was no champion.
    assert count(connection, "pattern_events where ml_metadata ->> 'reason' = 'no_model'") == unscored
    assert count(connection, "ml.predictions") == count(connection, "pattern_events") - unscored
    served = {row[0] for row in connection.execute("select distinct model_version from pattern_events")}
    assert served >= set(versions)


def test_a_champion_that_will_not_load_is_shown_and_the_old_one_serves(
    connection: Connection, database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    insert_bars(connection)
    make_champion(connection, "good")
    register(connection, "bad", b"garbage")
    with working(database):
        wait_until(lambda: count(connection, "ml.workers where model_version = 'good'") == 1, "the good one serves")
        connection.execute("select ml.promote('bad', 'test')")
        wait_until(
            lambda: count(connection, "ml.workers where model_error like '%bad: is not an ONNX file%'") == 1,
            "the worker says that it will not load",
        )
        pattern = insert_pattern(connection)
        wait_for_scores(connection)
        assert row_of(connection, pattern)["model_version"] == "good"
        monkeypatch.setenv("DATABASE_URL", database)
        capsys.readouterr()
        assert main(["status"]) == 0
        shown = capsys.readouterr().out
        assert "champion   bad" in shown
        assert "    good, " in shown
        assert "model bad: is not an ONNX file" in shown
        connection.execute("select ml.rollback('test')")
        wait_until(lambda: count(connection, "ml.workers where model_error is null") == 1, "the error is gone")


def test_only_a_fault_of_the_host_is_tried_again(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that was full for a moment must not leave a worker without its model until somebody restarts it."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    make_champion(connection, "good")
    register(connection, "bad", b"garbage")
    (good,), (bad,) = connection.execute("select id from ml.models order by version desc").fetchall()
    champion = Champion()
    with monkeypatch.context() as patch:
        patch.setattr("worker.serving.loading.require_trial", full)
        patch.setattr("worker.serving.champion.AGAIN_S", math.inf)
        champion.follow(connection, good)
        assert "[Errno 28]" in str(champion.error)
        assert champion.follows(good), "not yet"
        patch.setattr("worker.serving.champion.AGAIN_S", 0.0)
        champion.follow(connection, None)
        champion.follow(connection, good)
        assert not champion.follows(good), "it is time"
    champion.follow(connection, good)
    assert (champion.model and champion.model.version, champion.error) == ("good", None)
    assert champion.follows(good)
    monkeypatch.setattr("worker.serving.champion.AGAIN_S", 0.0)
    champion.follow(connection, bad)
    assert champion.error is not None
    assert champion.follows(bad), "the same bytes will not load in a minute either"


def test_while_a_promoted_model_loads_the_one_before_it_serves(
    connection: Connection, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It begins to load when it is promoted, not when the next row comes, and no row waits for it."""
    begun, may_end = threading.Event(), threading.Event()
    its_way = loading._try

    def slowly(model_id: int, file: Any) -> Any:
        if file.version == "two":
            begun.set()
            assert may_end.wait(20)
        return its_way(model_id, file)

    insert_bars(connection)
    make_champion(connection, "one")
    register(connection, "two", small_model("two"))
    with working(database, SLOW):
        wait_until(lambda: count(connection, "ml.workers where model_version = 'one'") == 1, "the first is served")
        monkeypatch.setattr(loading, "_try", slowly)
        connection.execute("select ml.promote('two', 'test')")
        assert begun.wait(10)

        assert served_by(connection) == ("one", "standby")
        may_end.set()
        wait_until(lambda: served_by(connection) == ("two", "champion"), "the second serves", 10)
        connection.execute("select ml.rollback('test')")
        assert served_by(connection) == ("one", "champion"), "it is still loaded"


def test_disabling_and_enabling_with_the_worker_running(connection: Connection, database: str) -> None:
    insert_bars(connection)
    make_champion(connection, "sure", small_model("sure", bias=5))
    connection.execute("select ml.set('ml_weight', 0.6, 'test')")
    with working(database):
        for enabled in (True, False, True, False):
            connection.execute(f"select ml.{'enable' if enabled else 'disable'}('test')")
            pattern = insert_pattern(connection)
            wait_for_scores(connection)
            row = row_of(connection, pattern)
            assert row["ml_confidence"] > 0.9
            assert row["blended_confidence"] == pytest.approx(0.6 * row["ml_confidence"] + 0.28)
            assert row["confidence"] == (row["blended_confidence"] if enabled else 0.7)
            assert row["ml_metadata"]["reason"] == ("scored" if enabled else "ml_disabled")
            assert row["ml_metadata"]["source"] == ("blend" if enabled else "rule")
    assert count(connection, "ml.predictions") == 4, "also while it was disabled"


def test_the_environment_counts_when_it_changes(
    connection: Connection, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start_with(value: str) -> bool:
        monkeypatch.setenv("ENABLE_PHASE5_ML", value)
        with working(database, FAST):
            pass
        row = connection.execute("select enabled from ml.settings").fetchone()
        assert row is not None
        return bool(row[0])

    assert start_with("true") is True
    connection.execute("select ml.disable('an incident')")
    assert start_with("true") is False, "a restart must not undo a decision"
    assert start_with("true") is False
    assert start_with("false") is False
    connection.execute("select ml.enable('over')")
    assert start_with("false") is True
    assert start_with("true") is True
    assert start_with("false") is False, "a new value counts"
    history = connection.execute("select source, new_value from ml.settings_history order by id").fetchall()
    assert [source for source, _ in history] == ["environment", "sql"] + ["environment", "sql"] + ["environment"] * 2
    assert all(a[0] == "environment" or a != b for a, b in itertools.pairwise(history))


def test_all_four_variables_reach_the_settings(
    connection: Connection, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "ENABLE_PHASE5_ML": "0",
        "ML_CONFIDENCE_THRESHOLD": "0.4",
        "ML_CONFIDENCE_WEIGHT": " 0.7 ",
        "RULE_CONFIDENCE_WEIGHT": "",
    }.items():
        monkeypatch.setenv(name, value)
    with working(database):
        pass
    row = connection.execute("select enabled, threshold, weights, ml_weight, rule_weight from ml.settings").fetchone()
    assert row == (False, 0.4, "fixed", 0.7, pytest.approx(0.3)), "a variable that is not set leaves the rest of 1"


def test_a_variable_that_cannot_be_is_named(database: str) -> None:
    with process(database, "run", ML_CONFIDENCE_THRESHOLD="high") as worker:
        assert worker.wait() == 1
        last = worker.lines()[-1]["message"]
        assert all(word in last for word in ("ML_CONFIDENCE_THRESHOLD", "high", "0 to 1"))


def test_a_model_without_golden_rows_is_said_to_have_none(
    connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    """Message and field agree: neither says that they are off by NaN."""
    make_champion(connection, "bare")
    with caplog.at_level("INFO", logger="worker"):
        champion_id = connection.execute("select id from ml.models").fetchone()
        assert champion_id is not None
        Champion().follow(connection, champion_id[0])
    (loaded,) = [record for record in caplog.records if "loaded" in record.getMessage()]
    assert isinstance(loaded.args, Mapping)
    assert loaded.args["golden_rows_off_by"] is None
    assert "no golden rows" in loaded.getMessage()
