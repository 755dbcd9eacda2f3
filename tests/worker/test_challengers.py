"""Challengers in the worker: scored beside the champion in its transaction, from the same inputs, never in its way."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from db_functions.database import Connection
from db_functions.golden import Golden
from db_functions.model import open_session
from tests.support import at, insert_bars, insert_pattern, make_champion, register, small_model, wait_until
from tests.worker_support import count, poison_model, working
from training.trial import trial_inputs
from worker import __version__
from worker.serving import challengers
from worker.serving.challengers import Challenge, fraction_of
from worker.serving.engine import Engine

ROWS = 60


@pytest.fixture
def champion(connection: Connection) -> Connection:
    """Bars, a champion that answers little, and a challenger, not yet challenging, that answers much."""
    insert_bars(connection)
    make_champion(connection, "old", small_model("old", bias=-1))
    register(connection, "new", small_model("new", bias=1))
    return connection


def challenge(connection: Connection, share: float, canary: float = 0.0, version: str = "new") -> None:
    connection.execute("select ml.challenge(%s, %s, %s, 'test')", [version, share, canary])


def score(connection: Connection, rows: int = ROWS) -> Engine:
    for number in range(rows):
        insert_pattern(connection, detected_at=at(100 + number))
    engine = Engine(connection)
    engine.refresh_model()
    assert engine.score_queue().done == rows
    return engine


def found(connection: Connection, statement: str) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement.encode()).fetchall()


PAIRED = (
    "select s.*, c.ml_confidence as c, n.ml_confidence as n, c.input_hash = n.input_hash as same_inputs, "
    "c.history = n.history as same_history, n.role, n.latency_ms is not distinct from c.latency_ms as same_latency "
    "from ml_internal.shadow_pairs s "
    "left join ml.predictions c on c.pattern_id = s.pattern_id and c.scored_at = s.scored_at "
    "and c.model_id = s.champion_id "
    "left join ml.predictions n on n.pattern_id = s.pattern_id and n.scored_at = s.scored_at "
    "and n.model_id = s.challenger_id"
)


def test_every_row_gets_a_pair_and_keeps_the_champions_score(champion: Connection) -> None:
    challenge(champion, 1)
    score(champion)
    pairs = found(champion, PAIRED)
    assert len(pairs) == ROWS == count(champion, "ml.predictions where role = 'champion'")
    assert {pair["role"] for pair in pairs} == {"challenger"}
    for pair in pairs:
        assert (pair["champion"], pair["challenger"]) == (pair["c"], pair["n"])
        assert pair["same_inputs"]
        assert pair["same_history"]
        assert pair["same_latency"]
        assert pair["challenger"] > pair["champion"]
        assert not pair["canary"]
    rows = found(champion, "select model_version, ml_confidence::real as p, ml_metadata from pattern_events")
    assert {row["model_version"] for row in rows} == {"old"}
    assert sorted(row["p"] for row in rows) == sorted(pair["champion"] for pair in pairs)
    assert not any("role" in row["ml_metadata"] for row in rows)
    assert found(champion, "select role, cardinality(reasons) as n from ml_internal.batches order by role") == [
        {"role": "challenger", "n": ROWS},
        {"role": "champion", "n": ROWS},
    ]


def test_a_share_is_of_the_hash_of_the_pattern(champion: Connection) -> None:
    challenge(champion, 0.3)
    score(champion)
    rows = found(champion, "select id, ml_internal.fraction_of(id) as f, s.pattern_id from pattern_events p "
                           "left join ml_internal.shadow_pairs s on s.pattern_id = p.id")  # fmt: skip
    assert [fraction_of(row["id"]) for row in rows] == [row["f"] for row in rows]
    assert all((row["pattern_id"] is not None) == (row["f"] < 0.3) for row in rows)
    assert 0 < count(champion, "ml_internal.shadow_pairs") < ROWS


def test_a_canary_serves_its_share_and_is_marked(champion: Connection) -> None:
    champion.execute("select ml.set('ml_weight', 0.6, 'test')")  # and so the rule's 0.4
    challenge(champion, 0.7, 0.4)
    score(champion)
    rows = found(champion, "select p.*, ml_internal.fraction_of(id) as f from pattern_events p")
    for row in rows:
        serves = row["f"] < 0.4
        assert row["model_version"] == ("new" if serves else "old")
        assert row["ml_metadata"].get("role") == ("canary" if serves else None)
        assert row["ml_confidence"] == pytest.approx(row["blended_confidence"] / 0.6 - 0.28 / 0.6)
    served = sum(row["f"] < 0.4 for row in rows)
    assert 0 < served < count(champion, "ml_internal.shadow_pairs") < ROWS
    assert count(champion, "ml.predictions where role = 'canary'") == served
    assert count(champion, "ml.predictions where role = 'champion'") == ROWS - served
    assert count(champion, "ml_internal.shadow_pairs where canary") == served
    # The champion has been asked all the same: without its answer the canary would show nothing.
    assert count(champion, "ml_internal.shadow_pairs where champion < challenger") == count(
        champion, "ml_internal.shadow_pairs"
    )
    assert count(champion, "ml.queue") == 0


def test_canaries_of_two_challengers_share_no_row() -> None:
    first, second = Challenge.from_shares([[1, 0.5, 0.2], [2, 0.3, 0.1]])
    assert first.canary == (0.0, 0.2)
    assert second.canary == pytest.approx((0.2, 0.3))


def test_a_challenger_that_fails_on_a_row_lacks_that_pair_only(champion: Connection) -> None:
    register(champion, "poisoned", poison_model("poisoned"))
    challenge(champion, 1, 0.5, "poisoned")
    for rule in (0.111, 0.222):
        insert_pattern(champion, confidence=rule)
    engine = Engine(champion)
    for _ in range(10):
        insert_pattern(champion)
    engine.refresh_model()
    assert engine.score_queue().done == 12
    assert count(champion, "ml_internal.shadow_pairs") == 10
    assert count(champion, "pattern_events where scored_at is not null") == 12
    assert count(champion, "ml.failures") == 0
    assert engine.counters.failed == 0


def test_a_challenger_that_takes_too_long_is_set_aside(champion: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(challengers, "TIME_LIMIT_S", 0.0)
    challenge(champion, 1, 1)
    engine = score(champion, 5)
    monkeypatch.undo()
    assert count(champion, "pattern_events where model_version = 'old'") == 5
    insert_pattern(champion)
    assert engine.score_queue().done == 1
    assert count(champion, "ml_internal.shadow_pairs") == 0, "it is not asked again at once"


def test_a_challenger_that_will_not_load_is_in_nobodys_way(champion: Connection) -> None:
    register(champion, "broken", b"garbage")
    challenge(champion, 1, 1, "broken")
    challenge(champion, 1)
    score(champion, 5)
    assert count(champion, "pattern_events where model_version = 'old'") == 5
    assert count(champion, "ml_internal.shadow_pairs") == 5


def test_what_somebody_else_had_scored_makes_no_pair(champion: Connection) -> None:
    challenge(champion, 1)
    engine = score(champion, 5)
    before = found(champion, "select * from ml_internal.shadow_pairs")
    rows = champion.execute("select id from pattern_events").fetchall()
    champion.execute(
        "insert into ml.queue (pattern_id, enqueued_at) select id, scored_at - interval '1 s' from pattern_events"
    )
    assert engine.score_queue().done == len(rows)
    assert found(champion, "select * from ml_internal.shadow_pairs") == before


def test_an_end_under_a_batch_is_obeyed(champion: Connection, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    challenge(champion, 1, 1)
    insert_pattern(champion)
    engine = Engine(champion)
    engine.refresh_model()
    ask = engine.challengers.ask

    def ask_and_end(*arguments: Any) -> Any:
        answers = ask(*arguments)
        monkeypatch.undo()
        with psycopg.connect(database, autocommit=True) as other:
            challenge(other, 0)
        return answers

    monkeypatch.setattr(engine.challengers, "ask", ask_and_end)
    assert engine.score_queue().done == 1
    assert count(champion, "pattern_events where model_version = 'old'") == 1
    assert count(champion, "ml_internal.shadow_pairs") == 0
    assert count(champion, "ml.predictions") == 1, "the first attempt was rolled back"


def test_a_running_worker_takes_up_a_challenge_and_records_its_parity(champion: Connection, database: str) -> None:
    data = small_model("new", bias=1)
    inputs = {name: values for name, values in trial_inputs(5).items() if name in ("bars", "history")}
    session = open_session(data)
    names = [item.name for item in session.get_outputs()]
    golden = Golden(inputs, dict(zip(names, session.run(names, inputs), strict=True)))
    champion.execute("update ml.models set golden = %s where version = 'new'", [golden.to_bytes()])
    champion.execute("update ml.settings set gate_pairs = 1")
    with working(database):
        worker_parity = "ml.gates('new') where gate = 'worker_parity' and passed"
        assert count(champion, worker_parity) == 0
        challenge(champion, 1)
        wait_until(lambda: count(champion, worker_parity) == 1, "the worker has replayed the golden rows")
        insert_pattern(champion)
        wait_until(lambda: count(champion, "ml_internal.shadow_pairs") == 1, "the challenger scores")
        challenge(champion, 0)
        insert_pattern(champion)
        wait_until(lambda: count(champion, "ml.queue") == 0, "the queue is drained")
    assert count(champion, "ml_internal.shadow_pairs") == 1
    (check,) = found(champion, "select runtime, passed, rows from ml.parity_checks where runtime like 'worker %'")
    assert check["runtime"].startswith(f"worker {__version__}, onnxruntime ")
    assert (check["passed"], check["rows"]) == (True, 5)


def test_an_outcome_that_is_known_counts_once_for_each_model(champion: Connection) -> None:
    challenge(champion, 1)
    for day in range(5):
        insert_pattern(champion, detected_at=at(100 + day))
    champion.execute("select ml.label_outcomes()")
    engine = Engine(champion)
    engine.refresh_model()
    assert engine.score_queue().done == 5
    changes = found(champion, "select role, count(*) as n from ml_internal.outcome_changes group by 1 order by 1")
    assert changes == [{"role": "challenger", "n": 5}, {"role": "champion", "n": 5}]


@pytest.fixture
def pairs(champion: Connection) -> Connection:
    challenge(champion, 1)
    champion.execute("select ml.set('threshold', 0.5, 'test')")
    score(champion, 12)
    champion.execute(
        "update pattern_events set outcome_label = case when random() < 0.5 then 'positive' else 'negative' end, "
        "outcome_at = detected_at + interval '3 days'"
    )
    return champion


def test_the_comparison_shows_a_challenger_in_all_and_by_type(pairs: Connection) -> None:
    rows = found(pairs, "select * from ml.shadow_comparison")
    assert [(row["challenger"], row["champion"], row["pattern_type"]) for row in rows] == [
        ("new", "old", None),
        ("new", "old", "double_bottom"),
    ]
    assert rows[0]["pairs"] == 12
    assert rows[0]["mean_difference"] == pytest.approx(rows[0]["mean_distance"])
    (apart,) = found(
        pairs, "select avg(((challenger >= 0.5) <> (champion >= 0.5))::integer) as share from ml_internal.shadow_pairs"
    )
    assert rows[0]["disagreement"] == pytest.approx(float(apart["share"]))
    assert 0 < rows[0]["disagreement"] < 1
    assert rows[0]["inference_p99_ms"] > 0
