"""Where a score came from, and scores made again."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from psycopg.rows import dict_row

from db_functions.database import Connection
from tests.support import START, at, insert_bars, insert_pattern, make_champion, register, small_model
from tests.worker.test_challengers import challenge
from tests.worker_support import count
from training import cli
from training.replay import Replayed
from training.replay import replay as replay_all
from worker.serving.engine import Engine

ROWS = 40


@pytest.fixture(autouse=True)
def _here(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database)


def replay(version: str, since: datetime, until: datetime | None = None) -> Replayed:
    done = replay_all(version, since, until)
    assert not done.failed
    return done.found


@pytest.fixture
def scored(connection: Connection) -> Connection:
    """Rows of many days, labelled while they were scored, so that history grows; old is champion, new challenges."""
    insert_bars(connection)
    make_champion(connection, "old", small_model("old", bias=-1, sensitivity=0.5))
    register(connection, "new", small_model("new", bias=1, sensitivity=0.5))
    challenge(connection, 1)
    engine = Engine(connection)
    engine.refresh_model()
    for number in range(ROWS):
        insert_pattern(connection, detected_at=at(100 + number * 2), rule_confidence=0.5)
        if number % 8 == 7:
            engine.score_queue()
            connection.execute("select ml.label_outcomes()")
            engine.gatherer.forget()
    assert count(connection, "ml.predictions where role = 'champion'") == ROWS
    return connection


def explained(connection: Connection, pattern: str) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute("select * from ml.explain_score(%s)", [pattern]).fetchall()


def test_the_same_version_over_unchanged_bars_gives_the_same_bits(scored: Connection) -> None:
    # Labels have arrived since: only the values kept with the predictions give the scores of the time again.
    histories = scored.execute("select count(distinct history) from ml.predictions").fetchone()
    assert histories is not None
    assert histories[0] > 1
    found = replay("old", START)
    assert (found.rows, found.same_inputs, found.repeated, found.identical) == (ROWS, ROWS, ROWS, ROWS)
    same = "ml.replay_differences where same_bits and same_inputs and original_role = 'champion' and difference = 0"
    assert count(scored, same) == ROWS
    assert count(scored, "pattern_events where model_version = 'old'") == ROWS


def test_without_the_kept_history_it_would_not(scored: Connection) -> None:
    scored.execute("update ml.predictions set history = '{NaN,0}'")
    assert replay("old", START).same_inputs < ROWS


def test_bars_corrected_since_are_seen_in_the_inputs(scored: Connection) -> None:
    scored.execute("update price_bars set high = high * 1.5 where ts = %s", [at(150)])
    found = replay("old", START)
    behind = count(scored, "pattern_events where detected_at < '2024-05-30'")
    assert 0 < behind < ROWS
    assert found.rows == ROWS
    assert found.same_inputs == found.identical == behind
    assert count(scored, "ml.replay_differences where not same_inputs and difference <> 0") == ROWS - behind


def test_another_version_is_compared_with_its_own_scores_or_with_those_that_were_served(scored: Connection) -> None:
    found = replay("new", at(120), at(160))
    assert found.rows == 20
    assert found.identical == 20
    assert count(scored, "ml.replay_differences where original_role = 'challenger' and same_bits") == 20
    register(scored, "third", small_model("third", bias=0.2, sensitivity=0.5))
    found = replay("third", at(120), at(160))
    assert (found.rows, found.same_inputs, found.repeated) == (20, 20, 0)
    rows = scored.execute(
        "select original_version, difference, same_bits from ml.replay_differences where replayed_version = 'third'"
    ).fetchall()
    assert {version for version, _, _ in rows} <= {"old", "new"}
    assert not any(same for _, _, same in rows)
    assert all(difference != 0 for _, difference, _ in rows)


def test_rows_that_nobody_scored_are_scored_too(scored: Connection) -> None:
    insert_pattern(scored, detected_at=at(110))
    insert_pattern(scored, detected_at=at(2))
    found = replay("old", START)
    assert (found.rows, found.compared, found.skipped) == (ROWS + 1, ROWS, 1)


def test_the_command_says_what_came_of_it(scored: Connection, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["replay", "--model", "old", "--since", "2024-01-01", "--quiet"]) == 0
    printed = capsys.readouterr().out
    assert f"{ROWS} rows scored by old, 0 skipped" in printed
    assert f"{ROWS} identical to the bit" in printed
    assert cli.main(["replay", "--model", "nobody", "--since", "2024-01-01"]) == 1
    assert "'nobody'" in capsys.readouterr().err


def test_a_score_is_explained_whole(scored: Connection) -> None:
    row = scored.execute(
        "select id::text, ml_confidence, scored_at from pattern_events order by detected_at desc"
    ).fetchone()
    assert row is not None
    pattern, confidence, moment = row
    scored.execute("select ml.set('threshold', 0.9, 'later'), ml.set('benchmark_symbol', 'SPY', 'later')")
    scored.execute("select ml.promote('new', 'later')")
    by_role = {one["role"]: one for one in explained(scored, pattern)}
    champion, challenger = by_role["champion"], by_role["challenger"]
    assert champion["ml_confidence"] == np.float32(confidence)
    assert champion["scored_at"] == challenger["scored_at"] == moment
    assert (champion["version"], champion["alias_cause"], champion["alias_reason"]) == ("old", "promote", "test")
    assert (challenger["version"], challenger["alias_cause"]) == ("new", "challenge")
    model = scored.execute("select sha256 from ml.models where version = 'old'").fetchone()
    assert (champion["sha256"],) == model
    # As they were, not as they are.
    assert champion["settings"]["threshold"] == "0.5"
    assert champion["settings"]["benchmark_symbol"] is None
    assert champion["features"].keys() == {"history_positive_rate", "history_count"}
    assert champion["features"]["history_count"] == champion["history"]["count"]
    assert len(bytes.fromhex(champion["input_hash"])) == 16
    assert champion["input_hash"] == challenger["input_hash"]
    assert champion["bars"] == 128
    assert champion["inference_ms"] > 0
    assert champion["latency_ms"] > timedelta(0) / timedelta(milliseconds=1)
    assert explained(scored, "00000000-0000-0000-0000-000000000000") == []
