"""Backfill: which rows, that a dry run writes nothing, that it can be stopped, and that live rows go first."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from db_functions.bulk import ledger, tasks
from db_functions.bulk.driver import How
from db_functions.database import Connection
from tests.support import at, insert_bars, insert_pattern, make_champion, random_bars, row_of, small_model, wait_until
from tests.worker_support import count, patterns, poison_model, process, working
from worker.cli import main
from worker.operating import backfill as backfill_module
from worker.operating.backfill import Selection, backfill, preview
from worker.serving.engine import Engine


@pytest.fixture
def ready(connection: Connection) -> Connection:
    """Bars of two symbols and a champion."""
    insert_bars(connection)
    insert_bars(connection, random_bars(200, 1), symbol="BOLT")
    make_champion(connection, "small-1")
    return connection


def old_rows(connection: Connection, rows: int) -> list[str]:
    """Rows without a score that no queue holds, half of them of BOLT; their ids in the order of the walk."""
    connection.execute(
        "insert into pattern_events (symbol, timeframe, pattern_type, detected_at, confidence) "
        "select (array['ACME', 'BOLT'])[k %% 2 + 1], '1d', 'flag', %s::timestamptz + k * interval '1 minute', 0.5 "
        "from generate_series(0, %s) k",
        [at(100), rows - 1],
    )
    connection.execute("delete from ml.queue")
    return [row[0] for row in connection.execute("select id::text from pattern_events order by id").fetchall()]


@pytest.fixture(autouse=True)
def _here(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database)
    monkeypatch.setattr(tasks, "_RETRY_S", 0.01)


def run(selection: Selection | None = None) -> int:
    return backfill(selection or Selection(), How()).rows


def unscored(connection: Connection) -> int:
    return count(connection, "pattern_events where scored_at is null")


def everything(connection: Connection) -> list[Any]:
    """Every row of every table there is, with where it lies and who wrote it."""
    tables = connection.execute(
        "select oid::regclass::text from pg_class where relkind = 'r' and relnamespace in ('ml'::regnamespace, "
        "'public'::regnamespace) order by 1"
    ).fetchall()
    return [
        (name, connection.execute(f"select ctid, xmin, md5(t::text) from {name} t order by ctid").fetchall())
        for (name,) in tables
    ]


def test_a_dry_run_writes_nothing(
    ready: Connection, database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    old_rows(ready, 40)
    ready.execute("select ml.disable('test')")
    before = everything(ready)
    assert len(before) > 10
    monkeypatch.setenv("DATABASE_URL", database)
    assert main(["backfill", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "40 rows" in said
    assert "ML is disabled" in said
    assert main(["backfill", "--dry-run", "--limit", "7", "--symbol", "BOLT", "--rescore"]) == 0
    assert "7 rows would be scored" in capsys.readouterr().out
    assert everything(ready) == before
    assert main(["backfill", "--limit", "1"]) == 0
    assert everything(ready) != before


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], 40),
        (["--limit", "0"], 40),
        (["--limit", "7"], 7),
        (["--symbol", "BOLT"], 20),
        (["--symbol", "NONE"], 0),
        (["--since", (at(100)).isoformat()], 40),
        (["--since", "2024-04-10T21:30:00"], 10),
        (["--since", "2024-04-10T21:30:00+00:00", "--symbol", "ACME", "--limit", "3"], 3),
    ],
)
def test_which_rows(
    ready: Connection,
    database: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    expected: int,
) -> None:
    monkeypatch.setattr(ledger, "PAGE_ROWS", 6)
    old_rows(ready, 40)
    monkeypatch.setenv("DATABASE_URL", database)
    assert main(["backfill", "--dry-run", *arguments]) == 0
    assert capsys.readouterr().out.startswith(f"{expected:,} rows would be scored")
    assert main(["backfill", *arguments]) == 0
    assert capsys.readouterr().out.startswith(f"{expected:,} rows done")
    assert unscored(ready) == 40 - expected
    assert count(ready, "ml.predictions") == expected
    symbol = arguments[arguments.index("--symbol") + 1] if "--symbol" in arguments else None
    since = arguments[arguments.index("--since") + 1] if "--since" in arguments else "-infinity"
    wrong = ready.execute(
        "select count(*) from pattern_events where scored_at is not null and (symbol <> %s or detected_at < %s)",
        [symbol, since + ("Z" if since.endswith("30:00") else "")],
    ).fetchone()
    assert wrong == (0,)


def test_backfilled_rows_have_a_score_and_no_latency(ready: Connection, database: str) -> None:
    [pattern] = old_rows(ready, 1)
    assert run() == 1
    row = row_of(ready, pattern)
    assert row["ml_confidence"] is not None
    assert row["prediction_latency_ms"] is None
    found = ready.execute("select kind, scored, stopped_at is not null, model_version from ml.workers").fetchall()
    assert found == [("backfill", 1, True, "small-1")]


def test_a_limit_is_a_job_of_its_own(ready: Connection) -> None:
    old_rows(ready, 10)
    assert [run(Selection(limit=4)), run(Selection(limit=4)), run(), run()] == [4, 4, 2, 0]
    assert count(ready, "ml_internal.jobs where finished_at is null") == count(ready, "ml_internal.pages") == 0


def test_a_rescore_leaves_a_score_that_would_only_fall_back(ready: Connection, database: str) -> None:
    old_rows(ready, 6)
    run()
    before = ready.execute("select * from pattern_events where symbol = 'BOLT' order by id").fetchall()
    ready.execute("delete from price_bars where symbol = 'BOLT'")
    done = backfill(Selection(rescore=True), How())
    assert (done.rows, done.left) == (6, 3)
    assert ready.execute("select * from pattern_events where symbol = 'BOLT' order by id").fetchall() == before
    assert count(ready, "ml.predictions") == 6 + 3


def test_a_rescore_that_fails_leaves_the_score(ready: Connection, database: str) -> None:
    pattern = insert_pattern(ready, confidence=0.5)
    ready.execute("delete from ml.queue")
    run()
    before = row_of(ready, pattern)
    make_champion(ready, "poison", poison_model("poison", raises_at=0.5))
    assert backfill(Selection(rescore=True), How()).left == 1
    assert row_of(ready, pattern) == before
    assert count(ready, "ml.failures") == 1


def test_rescore_takes_rows_that_have_a_score(ready: Connection, database: str) -> None:
    old_rows(ready, 6)
    assert run() == 6
    assert run() == 0
    make_champion(ready, "small-2", small_model("small-2", bias=1))
    assert run(Selection(limit=2)) == 0, "without --rescore a score stands"
    assert run(Selection(limit=2, rescore=True)) == 2
    ordered = ready.execute("select model_version from pattern_events order by symbol, detected_at").fetchall()
    versions = [version for (version,) in ordered]
    assert versions == ["small-2"] * 2 + ["small-1"] * 4
    assert count(ready, "ml.predictions") == 8


def test_rows_that_cannot_be_scored_are_explained_and_passed(ready: Connection, database: str) -> None:
    ids = old_rows(ready, 3)
    young = insert_pattern(ready, symbol="YOUNG")
    ready.execute("delete from ml.queue")
    assert run() == 4
    assert row_of(ready, young)["ml_metadata"]["reason"] == "insufficient_bars"
    assert unscored(ready) == 1
    insert_bars(ready, symbol="YOUNG")
    assert run() == 1
    assert all(row_of(ready, pattern)["scored_at"] for pattern in [*ids, young])


def test_sigterm_and_again_scores_every_row_once(
    ready: Connection, database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    old_rows(ready, 6_000)
    with process(database, "backfill") as command:
        wait_until(lambda: unscored(ready) < 6_000, "it has begun")
        assert command.stop() == 0
        assert "stopped" in command.printed
    left = unscored(ready)
    assert 0 < left < 6_000
    monkeypatch.setenv("DATABASE_URL", database)
    assert main(["backfill"]) == 0
    assert f"6,000 rows done\n{6_000 - left:,} of them by an earlier run" in capsys.readouterr().out
    assert unscored(ready) == 0
    assert count(ready, "ml.predictions") == 6_000
    assert count(ready, "(select distinct pattern_id from ml.predictions) p") == 6_000


def test_a_row_in_the_queue_too_is_scored_once(
    ready: Connection, database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    old_rows(ready, 30)
    ready.execute("insert into ml.queue (pattern_id) select id from pattern_events order by id limit 20")
    monkeypatch.setenv("DATABASE_URL", database)
    assert main(["backfill"]) == 0
    assert capsys.readouterr().out == "10 rows done, and 20 that waited in the queue\n", "the queue went first"
    assert count(ready, "ml.queue") == 0
    assert count(ready, "ml.predictions") == 30
    # The other way about: the backfill was first, the queue's row came later or was not yet seen.
    ready.execute("delete from pattern_events")
    old_rows(ready, 30)
    ready.execute("insert into ml.queue (pattern_id) select id from pattern_events")
    ready.execute("truncate ml.predictions")
    engine = Engine(ready)
    assert engine.score_rows(patterns(ready), rescore=False) == 30
    assert engine.score_queue().done == 30
    assert count(ready, "ml.queue") == 0
    assert count(ready, "ml.predictions") == 30


def test_queue_and_backfill_at_once(ready: Connection, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A live worker and a backfill race for the same rows, in different orders."""
    monkeypatch.setattr(ledger, "PAGE_ROWS", 50)
    old_rows(ready, 1_000)
    with working(database):
        ready.execute("insert into ml.queue (pattern_id) select id from pattern_events order by random()")
        run()
        wait_until(lambda: count(ready, "ml.queue") == 0, "the queue is drained")
    assert unscored(ready) == 0
    assert count(ready, "ml.predictions") == 1_000
    assert count(ready, "(select distinct pattern_id from ml.predictions) p") == 1_000


def test_live_rows_are_scored_between_pages(ready: Connection, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No worker runs: the backfill itself takes what arrives, before its next page."""
    monkeypatch.setattr(ledger, "PAGE_ROWS", 10)
    old_rows(ready, 60)
    score_rows, order, live = Engine.score_rows, list[str](), list[str]()

    def score_and_insert(self: Engine, rows: Any, *, rescore: bool) -> int:
        order.append("page")
        if len(live) < 3:
            assert all(row_of(ready, pattern)["scored_at"] for pattern in live), (
                "the live row waits no longer than a page"
            )
            live.append(insert_pattern(ready))
        return score_rows(self, rows, rescore=rescore)

    monkeypatch.setattr(Engine, "score_rows", score_and_insert)
    done = run()
    assert order.count("page") >= 6
    # Live ids are newer, so the walk comes upon those that were scored already, and leaves them.
    assert done == 60
    assert unscored(ready) == 0
    assert count(ready, "ml.predictions") == 63
    assert all(row_of(ready, pattern)["prediction_latency_ms"] is not None for pattern in live)


def _contend(kind: type[psycopg.Error]) -> Callable[..., int]:
    score_rows, failed = Engine.score_rows, list[int]()

    def score(self: Engine, rows: Any, *, rescore: bool) -> int:
        if len(failed) < 2:
            failed.append(len(rows))
            raise kind("somebody else was there")
        return score_rows(self, rows, rescore=rescore)

    return score


@pytest.mark.parametrize("kind", [psycopg.errors.DeadlockDetected, psycopg.errors.LockNotAvailable])
def test_contention_is_tried_again(
    ready: Connection, database: str, monkeypatch: pytest.MonkeyPatch, kind: type[psycopg.Error]
) -> None:
    old_rows(ready, 5)
    monkeypatch.setattr(Engine, "score_rows", _contend(kind))
    assert run() == 5
    assert unscored(ready) == 0


def test_a_page_that_others_hold_is_waited_for(
    ready: Connection, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = old_rows(ready, 5)
    with psycopg.connect(database) as holder:
        holder.execute("select from pattern_events where id = %s for update", [ids[2]])
        results: list[int] = []
        thread = threading.Thread(target=lambda: results.append(run()))
        thread.start()
        wait_until(
            lambda: (
                count(ready, "pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()") > 0
            ),
            "the backfill waits",
        )
        holder.rollback()
        thread.join(20)
    assert results == [5]
    assert unscored(ready) == 0


def test_a_preview_says_why_rows_have_no_score(ready: Connection) -> None:
    old_rows(ready, 4)
    insert_pattern(ready, symbol="YOUNG")
    Engine(ready).score_queue()
    found = preview(ready, Selection())
    assert (found.rows, found.champion, found.enabled) == (5, "small-1", True)
    assert found.reasons == {"pending": 4, "insufficient_bars": 1}


def test_a_running_backfill_is_seen(
    ready: Connection, database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its heartbeat goes on, so that ``status`` shows it however long it takes."""
    old_rows(ready, 3)
    monkeypatch.setattr(ledger, "PAGE_ROWS", 1)
    monkeypatch.setattr(backfill_module, "_HEARTBEAT_S", 0.0)
    monkeypatch.setenv("DATABASE_URL", database)
    seen = []
    score_rows = Engine.score_rows

    def score_and_look(self: Engine, rows: Any, *, rescore: bool) -> int:
        seen.append(ready.execute("select scored from ml.workers where stopped_at is null").fetchone())
        capsys.readouterr()
        assert main(["status"]) == 0
        assert "backfill 1 on " in capsys.readouterr().out
        return score_rows(self, rows, rescore=rescore)

    monkeypatch.setattr(Engine, "score_rows", score_and_look)
    assert run() == 3
    assert seen == [(0,), (1,), (2,)]


@pytest.mark.parametrize(
    "silence", ["alter table pattern_events disable trigger user", "set session_replication_role = replica"]
)
def test_rows_loaded_with_triggers_off_keep_what_the_application_gave(
    ready: Connection, database: str, silence: str
) -> None:
    """A load, then the remedy that doctor names for it: they are blended as if they had been inserted."""
    ready.execute("select ml.set('ml_weight', 0.5, 'test')")
    ready.execute("select ml.set('rule_weight', 0.5, 'test')")
    inserted = insert_pattern(ready, confidence=0.8, direction=1)
    ready.execute(silence.encode())
    loaded = insert_pattern(ready, confidence=0.8, direction=1)
    ready.execute(
        "alter table pattern_events enable trigger user; reset session_replication_role; delete from ml.queue"
    )
    run()
    one, other = (
        row_of(ready, pattern, "confidence", "rule_confidence", "ml_confidence", "blended_confidence", "ml_metadata")
        for pattern in (inserted, loaded)
    )
    assert one == other
    assert one["rule_confidence"] == 0.8
    ready.execute("select ml.disable('test')")
    ready.execute("select ml.reblend('test', false)")
    assert row_of(ready, loaded, "confidence") == {"confidence": 0.8}
