"""One batch: what becomes of each row, what is written of it, and that nothing is lost or scored twice."""

from __future__ import annotations

import hashlib
import re
import threading
from datetime import UTC, datetime
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg.types.json import Jsonb

from db_functions.database import Connection
from db_functions.gather import Gatherer
from db_functions.model import load
from db_functions.queries import fetch_all, query
from db_functions.trips import Ends
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
from tests.worker_support import count, patterns, poison_model
from worker.serving.batch import claimed_rows
from worker.serving.engine import Engine

pytestmark = pytest.mark.compat

DAY_US = 86_400_000_000


def know_outcomes(connection: Connection) -> None:
    """Three of four ``double_bottom`` were positive, long ago."""
    connection.execute("insert into ml_internal.outcome_days values ('double_bottom', '2024-01-02', 3, 4)")


def predictions(connection: Connection, pattern: str) -> list[dict[str, Any]]:
    cursor = connection.execute("select * from ml.predictions where pattern_id = %s", [pattern])
    assert cursor.description is not None
    names = [column.name for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def failures(connection: Connection, pattern: str) -> list[tuple[Any, ...]]:
    return connection.execute(
        "select error, attempts, input_snapshot, model_id from ml.failures where pattern_id = %s", [pattern]
    ).fetchall()


def test_a_scored_row_and_its_prediction(connection: Connection) -> None:
    insert_bars(connection)
    know_outcomes(connection)
    data = small_model("small-1", bias=2.0)
    make_champion(connection, "small-1", data)
    connection.execute("select ml.set('ml_weight', 0.6, 'test'), ml.set('rule_weight', 0.4, 'test')")
    pattern = insert_pattern(connection)
    engine = Engine(connection, 7)
    before = datetime.now(UTC)
    assert engine.score_queue().done == 1

    gathered = Gatherer().gather(connection, patterns(connection), benchmark=None, history_lag_us=DAY_US)
    model = load(1, "small-1", data, hashlib.sha256(data).hexdigest())
    expected = model.run(gathered.feed(model.input_names))
    p = float(expected["ml_confidence"][0])
    assert p > 0.5

    row = row_of(connection, pattern)
    assert row["ml_confidence"] == pytest.approx(p, abs=1e-7)
    assert row["rule_confidence"] == 0.7
    assert row["blended_confidence"] == pytest.approx(0.6 * p + 0.4 * 0.7, abs=1e-7)
    assert row["confidence"] == row["blended_confidence"]
    assert row["prediction_class"] == "positive"
    assert row["model_version"] == "small-1"
    assert before <= row["scored_at"] <= datetime.now(UTC)
    assert 0 < row["prediction_latency_ms"] < 20_000
    metadata = row["ml_metadata"]
    assert (metadata["source"], metadata["reason"], metadata["model_version"]) == ("blend", "scored", "small-1")
    assert (metadata["ml_weight"], metadata["rule_weight"], metadata["threshold"]) == (0.6, 0.4, 0.5)
    assert (metadata["quality"], metadata["bars"]) == (1.0, 128)
    assert metadata["probabilities"] == pytest.approx(expected["probabilities"][0].tolist(), abs=1e-6)
    (settings_version,) = connection.execute("select version from ml.settings").fetchone() or (None,)
    assert metadata["settings_version"] == settings_version

    [prediction] = predictions(connection, pattern)
    assert np.float32(prediction["ml_confidence"]) == expected["ml_confidence"][0]
    assert np.array_equal(np.array(prediction["probabilities"], np.float32), expected["probabilities"][0])
    assert prediction["features"] == [0.75, 4]
    assert prediction["history"] == [0.75, 4]
    assert prediction["input_hash"] == gathered.hashes()[0]
    assert (prediction["role"], prediction["reason"], prediction["bars"]) == ("champion", None, 128)
    assert prediction["scored_at"] == row["scored_at"]
    assert prediction["latency_ms"] == row["prediction_latency_ms"]
    assert 0 < prediction["inference_ms"] < 5_000
    assert prediction["worker_id"] == 7
    assert count(connection, "ml.queue") == 0


def test_each_row_of_a_mixed_batch_gets_its_own_fate(connection: Connection) -> None:
    insert_bars(connection)
    insert_bars(connection, random_bars(3), symbol="YOUNG", days=range(147, 150))
    know_outcomes(connection)
    connection.execute("select ml.set('min_quality', 0.75, 'test')")
    make_champion(connection, "poison", poison_model("poison"))
    good = [insert_pattern(connection, detected_at=at(150 + k)) for k in range(5)]
    raising = insert_pattern(
        connection, confidence=0.111, support="NaN", metadata='{"market": {"vix": 1e400, "options_activity": [1]}}'
    )
    young = insert_pattern(connection, symbol="YOUNG")
    unheard = insert_pattern(connection, pattern_type="unheard_of")
    nan = insert_pattern(connection, confidence=0.222)
    gone = insert_pattern(connection)
    connection.execute("delete from pattern_events where id = %s", [gone])
    last = insert_pattern(connection)
    assert count(connection, "ml.queue") == 11

    engine = Engine(connection)
    assert engine.score_queue().done == 11
    assert count(connection, "ml.queue") == 0
    for pattern in (*good, last):
        row = row_of(connection, pattern)
        assert row["model_version"] == "poison"
        assert row["ml_metadata"]["reason"] == "scored"
        assert len(predictions(connection, pattern)) == 1

    row = row_of(connection, young)
    assert (row["ml_confidence"], row["scored_at"], row["model_version"], row["confidence"]) == (None, None, None, 0.7)
    assert row["ml_metadata"]["reason"] == "insufficient_bars"
    assert row["ml_metadata"]["source"] == "rule"
    assert row["ml_metadata"]["bars"] == 3
    assert predictions(connection, young) == []

    row = row_of(connection, unheard)
    assert row["ml_metadata"]["reason"] == "low_quality"
    assert row["ml_metadata"]["quality"] == 0.5
    assert row["confidence"] == 0.7
    assert row["ml_confidence"] is not None
    assert [prediction["reason"] for prediction in predictions(connection, unheard)] == ["low_quality"]

    for pattern, rule, reason in ((raising, 0.111, "failed"), (nan, 0.222, "low_quality")):
        row = row_of(connection, pattern)
        assert (row["ml_confidence"], row["scored_at"], row["confidence"]) == (None, None, rule)
        assert row["ml_metadata"]["reason"] == reason
        assert predictions(connection, pattern) == []
    assert failures(connection, nan) == []  # the model says that it has no answer
    [(message, attempts, snapshot, model)] = failures(connection, raising)
    assert "Gather" in message
    assert (attempts, snapshot["symbol"], snapshot["rule_confidence"], model) == (1, "ACME", 0.111, 1)
    assert snapshot | {"vix": "inf", "options_activity": "[1.0]"} == snapshot
    assert snapshot["support"] is None  # NaN is absent to the model
    counters = engine.counters
    assert (counters.batches, counters.scored, counters.fallbacks, counters.failed) == (1, 7, 4, 1)


def test_without_a_champion_the_rule_stands(connection: Connection) -> None:
    insert_bars(connection)
    pattern, bare = insert_pattern(connection), insert_pattern(connection, confidence=None)
    assert Engine(connection).score_queue().done == 2
    row = row_of(connection, pattern)
    assert (row["confidence"], row["ml_confidence"], row["model_version"]) == (0.7, None, None)
    assert (row["ml_metadata"]["source"], row["ml_metadata"]["reason"]) == ("rule", "no_model")
    assert row_of(connection, bare)["confidence"] is None
    assert count(connection, "ml.predictions") == 0
    assert count(connection, "ml.queue") == 0


def test_a_model_that_always_raises_stops_nobody(connection: Connection) -> None:
    insert_bars(connection)
    make_champion(connection, "poison", poison_model("poison", raises_at=0.7))
    ids = [insert_pattern(connection) for _ in range(9)]
    assert Engine(connection).score_queue().done == 9
    assert {row_of(connection, pattern)["ml_metadata"]["reason"] for pattern in ids} == {"failed"}
    assert count(connection, "ml.failures") == 9


def test_an_error_without_a_message_is_a_row_of_its_own(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert_bars(connection)
    make_champion(connection, "small-1")
    engine = Engine(connection)
    engine.refresh_model()

    class Full:
        def run(self, names: list[str], inputs: dict[str, Any], options: object) -> list[Any]:
            raise MemoryError

    assert engine.model is not None
    object.__setattr__(engine.model, "session", Full())
    pattern = insert_pattern(connection)
    assert engine.score_queue().done == 1
    assert failures(connection, pattern)[0][0] == "MemoryError: no message"


def test_scores_do_not_depend_on_the_batch(connection: Connection) -> None:
    insert_bars(connection, random_bars(300))
    insert_bars(connection, random_bars(300, 3), symbol="BOLT")
    connection.execute("select ml.set('benchmark_symbol', 'BOLT', 'test')")
    know_outcomes(connection)
    make_champion(connection, "small-1")
    for k in range(60):
        insert_pattern(connection, symbol=("ACME", "BOLT")[k % 2], detected_at=at(3 + 5 * k), confidence=k / 100)
    engine = Engine(connection)
    rows = patterns(connection)
    rng = np.random.default_rng(0)
    seen = []
    for size in (1, 7, 60):
        order = [rows[k] for k in rng.permutation(len(rows))]
        for start in range(0, len(order), size):
            engine.score_rows(order[start : start + size], rescore=True)
        written = connection.execute(
            "select id, ml_confidence, prediction_class, ml_metadata ->> 'reason', confidence from pattern_events "
            "order by id"
        ).fetchall()
        logged = connection.execute(
            "select pattern_id, ml_confidence, probabilities, features, input_hash from ml.predictions "
            "where scored_at > (select max(scored_at) from ml.predictions) - interval '1 hour' order by pattern_id"
        ).fetchall()
        connection.execute("delete from ml.predictions")
        seen.append((written, logged))
    assert len(seen[0][1]) >= 55
    assert len({row[1] for row in seen[0][0]}) > 50, "the scores tell nothing apart"
    # NaN features compare as text.
    assert str(seen[0]) == str(seen[1]) == str(seen[2])


def test_two_engines_share_a_queue(connection: Connection, database: str) -> None:
    insert_bars(connection)
    make_champion(connection, "small-1")
    connection.execute(
        "insert into pattern_events (symbol, timeframe, pattern_type, detected_at, confidence) "
        "select 'ACME', '1d', 'flag', '2024-06-01'::timestamptz + k * interval '1 hour', 0.5 "
        "from generate_series(1, 500) k"
    )
    barrier, errors = threading.Barrier(2), list[BaseException]()

    def drain(worker: int) -> None:
        try:
            with psycopg.connect(database, autocommit=True) as own:
                engine = Engine(own, worker)
                barrier.wait(10)
                while engine.score_queue(20).done:
                    pass
        except BaseException as error:  # noqa: BLE001  # shown in the test's own thread
            errors.append(error)

    threads = [threading.Thread(target=drain, args=[worker]) for worker in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert errors == []
    # Who finds only rows that the other holds goes home; what is left is nobody's.
    assert count(connection, "ml.queue") == 0
    assert count(connection, "pattern_events where scored_at is not null") == 500
    assert count(connection, "ml.predictions") == 500
    assert count(connection, "(select distinct pattern_id from ml.predictions) p") == 500
    assert count(connection, "(select distinct worker_id from ml.predictions) p") == 2


def test_claimed_rows_are_passed_over_and_come_back(connection: Connection, database: str) -> None:
    insert_bars(connection)
    make_champion(connection, "small-1")
    ids = [insert_pattern(connection) for _ in range(10)]
    with psycopg.connect(database) as other:
        claimed = fetch_all(other, "claim", claimed_rows, {"after": 0, "limit": 4})
        assert [row.pattern.id for row in claimed if row.pattern] == ids[:4]
        engine = Engine(connection)
        assert engine.score_queue().done == 6
        assert engine.score_queue().done == 0
        other.rollback()
        assert engine.score_queue().done == 4
    assert count(connection, "ml.predictions") == 10


def test_a_batch_that_fails_leaves_the_queue_as_it_was(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    insert_bars(connection)
    make_champion(connection, "small-1")
    ids = [insert_pattern(connection) for _ in range(3)]
    engine = Engine(connection)
    engine.refresh_model()

    def fail(_ends: Ends) -> None:
        raise RuntimeError("killed before the commit")

    monkeypatch.setattr(Ends, "commit", fail)
    before = connection.execute("select * from ml.queue order by id").fetchall()
    with pytest.raises(RuntimeError, match="before the commit"):
        engine.score_queue()
    assert connection.execute("select * from ml.queue order by id").fetchall() == before
    assert row_of(connection, ids[0])["ml_metadata"] == {"source": "rule", "reason": "pending"}
    assert count(connection, "ml.predictions") == 0
    monkeypatch.undo()
    assert engine.score_queue().done == 3
    assert count(connection, "ml.predictions") == 3


def test_a_pattern_queued_twice_is_scored_once_a_time(connection: Connection) -> None:
    """As after a redrive of a row that waits already."""
    insert_bars(connection)
    make_champion(connection, "small-1")
    pattern = insert_pattern(connection)
    connection.execute("insert into ml.queue (pattern_id) values (%s)", [pattern])
    assert Engine(connection).score_queue().done == 2
    assert len(predictions(connection, pattern)) == 1
    assert count(connection, "ml.queue") == 0


def test_a_claim_walks_the_queues_primary_key(connection: Connection) -> None:
    """Planned while the queue is large and after it has shrunk, with whatever the tables' statistics say."""
    engine = Engine(connection)
    assert engine.score_queue().done == 0
    connection.execute(
        "insert into pattern_events (symbol, timeframe, pattern_type, confidence) "
        "select 'ACME', '1d', 'flag', 0.5 from generate_series(1, 3000)"
    )
    for statement in ("analyze", "delete from ml.queue where id % 100 <> 0", "analyze"):
        connection.execute(statement)
        plan = "\n".join(
            row[0] for row in connection.execute("explain " + query("claim"), {"after": 0, "limit": 256}).fetchall()
        )
        # In order, so that a limit ends it: nothing sorts all that waits.
        assert re.search(r"LockRows.*\n +->  Index Scan using queue_pkey", plan), plan
        assert "Index Scan using pattern_events_pkey" in plan, plan
        # Settings are one row.
        assert re.findall(r"Seq Scan on (\w+)", plan) == ["settings"], plan


# Models that will not serve


def _with(data: bytes, **metadata: str) -> bytes:
    import onnx

    model = onnx.load_from_string(data)
    for entry in model.metadata_props:
        if entry.key in metadata:
            entry.value = metadata[entry.key]
    changed: bytes = model.SerializeToString()
    return changed


def register_with_golden(connection: Connection, version: str, data: bytes, golden: bytes | None) -> None:
    connection.execute(
        "select ml_internal.register_model(%s, 'test', %s, 1, '{bars,history}', "
        "'{ml_confidence,probabilities,features}', "
        "'{a,b}', 5, %s, '', %s, %s, %s)",
        [version, data, Jsonb({}), Jsonb({}), Jsonb({}), golden],
    )


@pytest.mark.parametrize(
    ("data", "golden", "message"),
    [
        (b"garbage", None, "is not an ONNX file"),
        (_with(small_model("bad"), contract_version="2"), None, "contract version '2'; this worker serves 1"),
        (_with(small_model("bad"), min_bars="many"), None, "min_bars must be a whole number"),
        (_with(small_model("bad"), feature_names="[oops"), None, "feature_names a JSON array"),
        (_with(small_model("bad"), feature_names='["one"]'), None, "1 features are named, but output 'features' has 2"),
        (small_model("bad"), b"not golden rows", "cannot replay its golden rows: not golden rows"),
    ],
    ids=["garbage", "contract", "min_bars", "names", "width", "golden"],
)
def test_a_champion_that_will_not_serve_leaves_the_old_one_serving(
    connection: Connection, data: bytes, golden: bytes | None, message: str
) -> None:
    insert_bars(connection)
    make_champion(connection, "good")
    engine = Engine(connection)
    engine.refresh_model()
    register_with_golden(connection, "bad", data, golden)
    connection.execute("select ml.promote('bad', 'test', force => true)")
    pattern = insert_pattern(connection)
    assert engine.score_queue().done == 1
    assert row_of(connection, pattern)["model_version"] == "good"
    assert engine.model_error is not None
    assert message in engine.model_error
    assert "bad" in engine.model_error
    connection.execute("select ml.rollback('test')")
    assert engine.score_queue().done == 0
    assert engine.model_error is None


def test_golden_rows_answered_otherwise_are_refused(connection: Connection) -> None:
    from db_functions.golden import Golden

    data = small_model("bad")
    model = load(1, "bad", data, hashlib.sha256(data).hexdigest())
    inputs = {"bars": np.full((3, 128, 5), 10.0), "history": np.full((3, 2), np.nan)}
    outputs = model.run(inputs)
    golden = Golden(inputs, outputs | {"ml_confidence": outputs["ml_confidence"] + np.float32(0.01)})
    register_with_golden(connection, "bad", data, golden.to_bytes())
    register_with_golden(connection, "good", small_model("good"), Golden(inputs, outputs).to_bytes())
    engine = Engine(connection)
    for version, serving in (("bad", None), ("good", "good")):
        connection.execute("select ml.promote(%s, 'test', force => true)", [version])
        engine.refresh_model()
        assert (engine.model.version if engine.model else None) == serving
        assert (engine.model_error is None) == (serving is not None)


def test_a_first_champion_that_will_not_load_is_no_model(connection: Connection) -> None:
    insert_bars(connection)
    register(connection, "bad", b"garbage")
    connection.execute("select ml.promote('bad', 'test')")
    pattern = insert_pattern(connection)
    assert Engine(connection).score_queue().done == 1
    assert row_of(connection, pattern)["ml_metadata"]["reason"] == "no_model"


def test_a_champion_that_changes_under_a_batch_is_obeyed(connection: Connection, database: str) -> None:
    """Promoted between the claim and the write: the batch is scored again, with the new one."""
    insert_bars(connection)
    make_champion(connection, "one")
    register(connection, "two", small_model("two", bias=1))
    pattern = insert_pattern(connection)
    engine = Engine(connection)
    engine.refresh_model()
    gather = engine.gatherer.gather
    promoted = list[Any]()

    def promote_first(*arguments: Any, **options: Any) -> Any:
        if not promoted:
            with psycopg.connect(database, autocommit=True) as other:
                promoted.append(other.execute("select ml.promote('two', 'test')"))
        return gather(*arguments, **options)

    engine.gatherer.gather = promote_first  # type: ignore[method-assign]
    assert engine.score_queue().done == 1
    assert promoted
    assert row_of(connection, pattern)["model_version"] == "two"
    assert [row["model_id"] for row in predictions(connection, pattern)] == [2]


def test_a_scorer_does_not_hold_up_inserts(connection: Connection, database: str) -> None:
    """While rows are claimed and being scored, applications insert and update without waiting."""
    insert_bars(connection)
    pattern = insert_pattern(connection)
    with psycopg.connect(database) as other:
        other.execute(query("claim"), {"after": 0, "limit": 10})
        connection.execute("set lock_timeout = '1s'")
        insert_pattern(connection)
        connection.execute("update pattern_events set status = 'confirmed' where id = %s", [pattern])
        other.rollback()
    wait_until(lambda: count(connection, "ml.queue") == 2, "both rows wait")


def test_a_first_score_stays_on_the_rows_page(connection: Connection) -> None:
    """Then it is a heap-only update, for no index is on a column that scoring writes."""
    insert_bars(connection)
    make_champion(connection, "small-1")
    market = {"market": {"vix": 17.25, "sector_performance": 0.012345, "news_sentiment": -0.25}}
    for _ in range(60):
        insert_pattern(
            connection, support=98.5, resistance=104.25, started_at=at(140), metadata=Jsonb(market), symbol="ACME"
        )
    page = "select id, (ctid::text::point)[0] from pattern_events order by id"
    before = connection.execute(page).fetchall()
    assert Engine(connection).score_queue().done == 60
    assert connection.execute(page).fetchall() == before
    assert len({place for _, place in before}) > 1
    written = {"confidence", "blended_confidence", "ml_confidence", "prediction_class", "model_version", "scored_at"}
    written |= {"prediction_latency_ms", "ml_metadata"}
    indexed = connection.execute(
        "select a.attname from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any (i.indkey) "
        "where i.indrelid = 'pattern_events'::regclass"
    ).fetchall()
    assert not written & {name for (name,) in indexed}
