"""Questions: what a pattern would score, without inserting it."""

from __future__ import annotations

import asyncio
import io
import json
import math
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from db_functions.asking import Answer, as_question, read_answer, score, score_async
from db_functions.database import Connection
from db_functions.errors import InTransaction, NoAnswer, NoWorker, UnknownModel
from demo.application import find_all_patterns
from demo.application import insert_bars as insert_market_bars
from demo.market import BENCHMARK, SYMBOLS, load_series
from tests.sql_support import refusal
from tests.support import (
    at,
    insert_bars,
    insert_pattern,
    make_champion,
    random_bars,
    register,
    row_of,
    small_model,
    wait_until,
)
from tests.worker.test_http import TOKEN, ask, reader, site
from tests.worker_support import FAST, SLOW, count, poison_model, process, working
from worker.cli import main
from worker.http.questions import BYTES, Allowance
from worker.operating import first_passage
from worker.operating.ask import answer_lines
from worker.serving import questions
from worker.serving.batch import BatchSettings
from worker.serving.engine import Engine
from worker.serving.questions import Question, Questions

__all__ = ["reader", "site"]
PATTERN: dict[str, Any] = {
    "symbol": "ACME",
    "timeframe": "1d",
    "pattern_type": "double_bottom",
    "detected_at": at(150),
    "entry": 100.0,
    "stoploss": 95.0,
    "target": 110.0,
    "confidence": 0.7,
}


@pytest.fixture
def ready(connection: Connection) -> Connection:
    insert_bars(connection)
    make_champion(connection, "small-1")
    return connection


@pytest.fixture
def application(ready: Connection, database: str) -> Iterator[Connection]:
    with psycopg.connect(database, autocommit=True) as application:
        application.execute("set role ml_app")
        yield application


def inserted(connection: Connection, given: dict[str, Any]) -> dict[str, Any]:
    """What the row of an insert says when a worker has scored it."""
    pattern = insert_pattern(connection, **plain(given))
    wait_until(lambda: row_of(connection, pattern, "ml_metadata")["ml_metadata"]["reason"] != "pending", "a score")
    return row_of(connection, pattern)


def as_row(answer: Answer) -> dict[str, Any]:
    names = ("confidence", "rule_confidence", "blended_confidence", "ml_confidence", "prediction_class")
    kept = ("reason", "source", "quality", "settings_version", "ml_weight", "rule_weight", "threshold")
    return {name: getattr(answer, name) for name in (*names, "model_version", "probabilities", *kept)}


def of_row(row: dict[str, Any]) -> dict[str, Any]:
    names = ("confidence", "rule_confidence", "blended_confidence", "ml_confidence", "prediction_class")
    kept = ("reason", "source", "quality", "settings_version", "ml_weight", "rule_weight", "threshold")
    metadata = row["ml_metadata"]
    return {
        **{name: row[name] for name in (*names, "model_version")},
        "probabilities": metadata.get("probabilities"),
        **{name: metadata.get(name) for name in kept},
    }


CASES: list[dict[str, Any]] = [
    {},
    {"rule_confidence": 0.2},
    {"confidence": None},
    {"target": 90.0, "stoploss": 105.0},
    {"target": math.nan, "entry": math.inf},
    {"target": None, "entry": None, "verdict": "bearish"},
    {"symbol": "NONE"},
    {"detected_at": at(2)},
    {"started_at": at(140), "support": 94.9, "metadata": {"market": {"vix": "17.5", "news_sentiment": None}}},
]


@pytest.mark.compat
def test_a_question_gets_what_an_insert_would(application: Connection, ready: Connection, database: str) -> None:
    insert_bars(ready, random_bars(50, seed=3), symbol="OTHER")
    cases = [{**PATTERN, **case} for case in [*CASES, {"symbol": "OTHER", "detected_at": at(30)}]]
    with working(database, SLOW):
        answers = score(application, cases)
        before = count(ready, "ml.predictions"), count(ready, "pattern_events"), count(ready, "ml_internal.batches")
        rows = [inserted(ready, case) for case in cases]
        alone = [score(application, [case])[0] for case in cases]
    assert before == (0, 0, 0)
    assert [as_row(answer) for answer in answers] == [of_row(row) for row in rows]
    assert alone == answers
    assert {answer.reason for answer in answers} == {"scored", "insufficient_bars"}
    counted = ready.execute("select jsonb_object_agg(reason, patterns) from ml_internal.question_counts").fetchone()
    assert counted == ({"scored": 2 * (len(cases) - 2), "insufficient_bars": 4},)
    assert count(ready, "ml_internal.questions") == 0


def test_the_sql_and_the_shell_doors_answer_the_same(application: Connection, ready: Connection, database: str) -> None:
    cases = [{**PATTERN, **case} for case in CASES]
    with working(database, SLOW):
        asked = score(application, cases)
        alone = application.execute("call ml.score(%s::jsonb)", [as_question(cases[0])]).fetchone()
    assert alone == (asdict(asked[0]) | {"blended_confidence": asked[0].blended_confidence},)
    written = [json.loads(as_question(case)) for case in cases]
    lines = [*map(json.dumps, written), "", '{"symbol": 5}', "{", json.dumps(PATTERN | {"detected_at": None, "id": 1})]
    *answers, five, broken, unknown = answer_lines(ready, lines)
    assert [read_answer(answer) for answer in answers] == asked
    assert (five["field"], unknown["field"], set(broken)) == ("symbol", "id", {"error"})
    register(ready, "small-2", small_model("small-2", bias=0.4))
    (other,) = answer_lines(ready, lines[:1], "small-2")
    assert other["model_version"] == "small-2"
    assert other["ml_confidence"] > answers[0]["ml_confidence"]
    with pytest.raises(UnknownModel):
        next(answer_lines(ready, lines, "small-3"))
    assert count(ready, "ml.predictions") == 0


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"symbol": None}, "symbol"),
        ({"symbol": ["ACME"]}, "symbol"),
        ({"symbol": "A" * 1001}, "symbol"),
        ({"entry": "cheap"}, "entry"),
        ({"target": True}, "target"),
        ({"stoploss": 10**400}, "stoploss"),
        ({"detected_at": 1_700_000_000}, "detected_at"),
        ({"started_at": "yesterday-ish"}, "started_at"),
        ({"detected_at": "infinity"}, "detected_at"),
        ({"confidence": 1.5}, "confidence"),
        ({"direction": 7}, "direction"),
        ({"direction": 0.5}, "direction"),
        ({"ml_confidence": 0.5}, "ml_confidence"),
        ({"stop_loss": 95}, "stop_loss"),
    ],
)
def test_bad_input_names_the_field(transaction: Connection, change: dict[str, Any], field: str) -> None:
    question = json.dumps([json.loads(as_question(PATTERN)), json.loads(as_question(PATTERN | change))])
    error = refusal(transaction, "select ml.ask('score', %s::jsonb)", [question])
    assert (error.sqlstate or "")[:2] in ("22", "23")
    assert (error.diag.column_name, (error.diag.message_primary or "")[:9]) == (field, "pattern 2")


@pytest.mark.parametrize("question", ["[]", "5", "null", "[[]]", json.dumps([{}] * 1001), '"' + "x" * 4_000_001 + '"'])
def test_what_is_no_question_is_refused(transaction: Connection, question: str) -> None:
    assert refusal(transaction, "select ml.ask('score', %s::jsonb)", [question]).sqlstate == "22023"
    assert refusal(transaction, "select ml.ask('what', '{}')").sqlstate == "22023"
    assert refusal(transaction, "select ml.ask('score', '{}', '61 s')").sqlstate == "22023"


def test_an_answer_that_cannot_come_is_said_at_once_or_in_time(application: Connection, ready: Connection) -> None:
    with pytest.raises(NoWorker):
        score(application, [PATTERN], 60)
    ready.execute("select ml_internal.start_worker('gone', 1, '0', 'worker')")
    with pytest.raises(NoAnswer):
        score(application, [PATTERN], 0.05)
    ready.execute("update ml_internal.questions set expires_at = now() - interval '2 minutes'")
    assert ready.execute("select ml_internal.prune_questions()").fetchone() == (1,)
    assert ready.execute("select * from ml_internal.question_counts").fetchall() == [("score", "expired", 1)]


def leave_questions(connection: Connection, number: int) -> None:
    """Questions to a worker that does not answer."""
    connection.execute("select ml_internal.start_worker('gone', 1, '0', 'worker')")
    connection.execute(
        "insert into ml_internal.questions (id, question, place, kind, options, asker, expires_at) select "
        "gen_random_uuid(), gen_random_uuid(), 0, 'score', '{}', 'another', now() + interval '1 minute' "
        "from generate_series(1, %s)",
        [number],
    )


def test_too_many_questions_are_refused(application: Connection, ready: Connection) -> None:
    leave_questions(ready, 5_000)
    with pytest.raises(NoAnswer, match="too many"):
        score(application, [PATTERN])


def test_a_transaction_block_is_told(application: Connection) -> None:
    application.autocommit = False
    application.execute("select 1")
    with pytest.raises(InTransaction):
        score(application, [PATTERN])
    with pytest.raises(psycopg.errors.InvalidTransactionTermination):
        application.execute("call ml.score('{}')")
    application.rollback()
    with pytest.raises(NoWorker):  # outside a block, whatever the mode of the connection
        score(application, [PATTERN])
    assert not application.autocommit


def test_only_who_asked_reads_the_answer(connection: Connection, ready: Connection, database: str) -> None:
    for name in ("asker_one", "asker_two"):
        connection.execute(f"create role {name} login in role ml_app")
    try:
        with (
            psycopg.connect(database, user="asker_one", autocommit=True) as one,
            psycopg.connect(database, user="asker_two", autocommit=True) as two,
            working(database, SLOW),
        ):
            found = one.execute("select ml.ask('score', %s::jsonb)", [as_question(PATTERN)]).fetchone()
            wait_until(lambda: count(ready, "ml_internal.questions where answer is not null") == 1, "an answer")
            with pytest.raises(psycopg.errors.NoDataFound):
                two.execute("select ml.answer(%s)", found)
            answer = one.execute("select ml.answer(%s)", found).fetchone()
            assert answer is not None
            assert answer[0]["reason"] == "scored"
            with pytest.raises(psycopg.errors.NoDataFound, match="read once"):
                one.execute("select ml.answer(%s)", found)
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                two.execute("select * from ml_internal.questions")
    finally:
        connection.execute("drop role asker_one, asker_two")


def test_a_coroutine_asks(application: Connection, database: str) -> None:
    async def ask() -> list[Answer]:
        async with await psycopg.AsyncConnection.connect(database) as own:
            return await score_async(own, [PATTERN])

    with working(database, SLOW):
        assert asyncio.run(ask()) == score(application, [PATTERN])


def test_a_pattern_on_which_the_model_fails_sets_no_model_aside(
    application: Connection, ready: Connection, database: str
) -> None:
    make_champion(ready, "poisoned", poison_model("poisoned"))
    with working(database, SLOW):
        for _ in range(4):
            bad, good = score(application, [PATTERN | {"confidence": value} for value in (0.111, 0.5)])
            assert (bad.reason, bad.confidence, bad.ml_confidence, good.reason) == ("failed", 0.111, None, "scored")
            assert bad.error
            assert score(application, [PATTERN | {"confidence": 0.111}])[0].reason == "failed"
        assert inserted(ready, PATTERN)["model_version"] == "poisoned"
    assert count(ready, "ml.failures") == 0


def test_a_question_that_breaks_the_turn_is_refused_alone(
    application: Connection, ready: Connection, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_on_one(
        engine: Engine, settings: BatchSettings, asked: Sequence[Question], error: str | None
    ) -> Sequence[questions.Answer]:
        if error is None and any(question.pattern.rule_confidence == 0.25 for question in asked):
            raise KeyError("a fault in the worker")
        return questions.answer_scores(engine, settings, asked, error)

    monkeypatch.setattr(questions, "KINDS", {"score": questions.Kind(break_on_one, 64)})
    with working(database, SLOW):
        answers = score(application, [PATTERN, PATTERN | {"confidence": 0.25}, PATTERN])
        assert [answer.reason for answer in answers] == ["scored", "failed", "scored"]
        assert "a fault in the worker" in (answers[1].error or "")
        assert inserted(ready, PATTERN)["model_version"] == "small-1"


def test_without_a_champion_and_while_disabled(connection: Connection, database: str) -> None:
    insert_bars(connection)
    with psycopg.connect(database, autocommit=True) as application, working(database, FAST):
        (answer,) = score(application, [PATTERN])
        assert (answer.reason, answer.source, answer.confidence) == ("no_model", "rule", 0.7)
        make_champion(connection, "small-1")
        connection.execute("select ml.disable('a test')")
        (answer,) = score(application, [PATTERN])
        assert (answer.reason, answer.confidence, answer.model_version) == ("ml_disabled", 0.7, "small-1")
        assert answer.ml_confidence is not None


def test_what_happens_meanwhile_answers_each_once_or_refuses(
    application: Connection, ready: Connection, database: str
) -> None:
    """Promoted, disabled, killed, started again: an answer is of one model and one version of the settings."""
    register(ready, "small-2", small_model("small-2", bias=0.4))
    stop, found, refused = threading.Event(), list[Answer](), list[Exception]()

    def go_on_asking() -> None:
        with psycopg.connect(database, autocommit=True) as own:
            while not stop.is_set():
                try:
                    answers = score(own, [PATTERN] * 3, 2)
                except (NoWorker, NoAnswer) as error:
                    refused.append(error)
                else:
                    assert len(answers) == 3
                    found.extend(answers)

    def asked(more: int) -> None:
        wanted = len(found) + more
        wait_until(lambda: len(found) >= wanted, "answers")

    with process(database, "run") as first:
        wait_until(lambda: count(ready, "ml_internal.live_workers where model_version is not null") == 1, "a worker")
        askers = [threading.Thread(target=go_on_asking) for _ in range(2)]
        for asker in askers:
            asker.start()
        asked(20)
        ready.execute("select ml.promote('small-2', 'a test')")
        asked(20)
        ready.execute("select ml.disable('a test')")
        asked(20)
        first.process.kill()
        first.process.wait()
    with working(database):
        asked(20)
        stop.set()
        for asker in askers:
            asker.join(20)
            assert not asker.is_alive()
    assert {answer.model_version for answer in found} == {"small-1", "small-2"}
    versions = dict[tuple[str | None, int], set[tuple[Any, ...]]]()
    for answer in found:
        key = answer.model_version, answer.settings_version
        versions.setdefault(key, set()).add((answer.ml_confidence, answer.confidence, answer.reason))
    assert all(len(same) == 1 for same in versions.values()), versions
    assert count(ready, "ml_internal.questions where answer is not null") <= 3 * len(refused)


def test_in_the_place_of_a_worker_that_died_another_answers_once(transaction: Connection) -> None:
    def claimed() -> int:
        return count(transaction, """ml_internal.claim_questions('{"score": 9}')""")

    leave_questions(transaction, 2)
    assert [claimed(), claimed()] == [2, 0]
    for wanted in (2, 0):
        transaction.execute(
            "update ml_internal.questions set claimed_at = now() - interval '3 s' where claimed_at <> 'infinity'"
        )
        assert claimed() == wanted


def test_a_question_is_taken_in_as_a_row_is(transaction: Connection) -> None:
    same = transaction.execute(
        "select a.prosrc = b.prosrc from pg_proc a, pg_proc b "
        "where a.oid = 'ml_internal.intake_pattern()'::regprocedure and b.proname = 'take_in'"
    ).fetchone()
    assert same == (True,)


def test_the_shell_reads_and_prints_lines(
    ready: Connection,
    database: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "patterns.jsonl"
    file.write_text(as_question(PATTERN) + "\n")
    monkeypatch.setenv("DATABASE_URL", database)
    assert main(["score", "--json", str(file)]) == 0
    assert read_answer(json.loads(capsys.readouterr().out)).model_version == "small-1"
    monkeypatch.setattr("sys.stdin", io.StringIO("no pattern\n" + as_question(PATTERN)))
    assert main(["score"]) == 1
    broken, whole = map(json.loads, capsys.readouterr().out.splitlines())
    assert (broken.keys(), whole["reason"]) == ({"error"}, "scored")
    assert main(["score", "--json", str(tmp_path / "none")]) == 1
    assert "none" in capsys.readouterr().err


def test_while_rows_wait_questions_take_half_of_the_time_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    now, turns = [0.0], Questions(1e9)

    def turn(_: Questions, engine: Engine) -> bool:
        now[0] += 10
        return True

    monkeypatch.setattr("worker.serving.questions.time.monotonic", lambda: now[0])
    monkeypatch.setattr(Questions, "_turn", turn)
    turns.pending = True
    for rows_wait, at_s, after_s in ((True, 0, 10), (True, 15, 15), (True, 20, 30), (False, 31, 41)):
        now[0] = at_s
        turns.answer(None, rows_wait=rows_wait)  # type: ignore[arg-type]
        assert now[0] == after_s


def test_the_http_door(site: str, application: Connection, ready: Connection, database: str) -> None:
    allowed = {"Authorization": f"Bearer {TOKEN}"}
    url = f"{site}/api/ml/score"
    cases = [{**PATTERN, **case} for case in CASES]
    with working(database, SLOW):
        wanted = score(application, cases)
        answer = ask(url, "POST", as_question(cases), **allowed)
        assert [read_answer(one) for one in answer.json] == wanted
        assert read_answer(ask(url, "POST", as_question(cases[0]), **allowed).json) == wanted[0]
        assert 'ml_questions_total{kind="score",reason="scored"}' in ask(f"{site}/metrics").text
    assert ask(url, "POST", as_question(PATTERN)).status == 401
    for body in ("{", "[]", "5", '"\\ud800"', "[" * 100_000, as_question([PATTERN] * 1001), '{"symbol": "\0"}'):
        refused = ask(url, "POST", body, **allowed)
        assert (refused.status, list(refused.json)) == (400, ["error"]), body[:20]
    refused = ask(url, "POST", as_question(PATTERN | {"entry": "cheap"}), **allowed)
    assert (refused.status, refused.json["field"]) == (400, "entry")
    assert ask(url, "POST", "[" + " " * BYTES, **allowed).status == 413
    assert ask(url, "POST", as_question(PATTERN), **allowed).status == 503
    leave_questions(ready, 5_000)
    assert ask(url, "POST", as_question(PATTERN), **allowed).status == 504


def test_http_allows_so_many_questions_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("worker.http.questions.time.monotonic", lambda: now[0])
    allowance = Allowance(10)
    assert sum(allowance.take() for _ in range(30)) == 10
    now[0] += 0.5
    assert sum(allowance.take() for _ in range(30)) == 5


@pytest.mark.parametrize("doorbell", ["on", "off"])
def test_a_row_does_not_wait_for_questions_that_came_before_it(
    application: Connection, ready: Connection, database: str, doorbell: str
) -> None:
    ready.execute("select ml.set('doorbell', %s, 'a test')", [doorbell])
    question = as_question([PATTERN] * 1000)
    with working(database):
        score(application, [PATTERN])
        for _ in range(4):
            application.execute("select ml.ask('score', %s::jsonb, '60 s')", [question])
        row = inserted(ready, PATTERN)
        left = count(ready, "ml_internal.questions where answer is null")
    assert row["model_version"] == "small-1"
    assert left > 1000


@pytest.mark.slow
def test_every_door_and_an_insert_agree_on_real_rows(
    site: str, application: Connection, connection: Connection, database: str
) -> None:
    series = load_series()
    patterns = [asdict(one) for one in find_all_patterns(series[symbol] for symbol in SYMBOLS)][-5_000:]
    for whole in series.values():
        insert_market_bars(connection, whole)
    connection.execute("select ml.set('benchmark_symbol', %s, 'a test')", [BENCHMARK])
    first_passage.promote(connection, first_passage.register(connection))
    thousands = [patterns[i : i + 1_000] for i in range(0, len(patterns), 1_000)]
    with working(database):
        asked = [answer for part in thousands for answer in score(application, part, 60)]
        http = [
            read_answer(answer)
            for part in thousands
            for answer in ask(f"{site}/api/ml/score", "POST", as_question(part), Authorization=f"Bearer {TOKEN}").json
        ]
        assert count(connection, "ml.predictions") == 0
        rows = [insert_pattern(connection, **plain(one)) for one in patterns]
        wait_until(lambda: count(connection, "ml.queue") == 0, "every row is scored", 120)
    shell = [read_answer(answer) for answer in answer_lines(connection, map(as_question, patterns))]
    assert asked == http == shell
    stored = {str(row["id"]): row for row in whole_rows(connection)}
    assert [as_row(answer) for answer in asked] == [of_row(stored[row]) for row in rows]
    assert len({answer.ml_confidence for answer in asked}) > 4_000


def plain(given: dict[str, Any]) -> dict[str, Any]:
    return {name: Jsonb(value) if isinstance(value, dict) else value for name, value in given.items()}


def whole_rows(connection: Connection) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute("select * from pattern_events").fetchall()
