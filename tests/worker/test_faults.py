"""Poison rows and faulty models: the good rows are scored, the bad ones are found, and nothing waits for ever."""

from __future__ import annotations

import hashlib
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import psycopg
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from db_functions import model as models
from db_functions import sandbox
from db_functions.database import Connection
from db_functions.errors import InvalidModel
from db_functions.golden import Golden
from db_functions.model import load
from db_functions.sandbox import require_trial
from db_functions.watchdog import Watchdog
from tests.support import insert_bars, insert_pattern, make_champion, register, row_of, small_model
from training.check import check_model
from worker.serving import breaker
from worker.serving.engine import Engine


class Poisoned:
    """A session that raises for windows whose newest close is 666 and answers NaN where it is 13."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def run(self, names: list[str], inputs: dict[str, NDArray[Any]], options: object) -> list[Any]:
        newest = inputs["bars"][:, -1, 3]
        if (newest == 666).any():
            raise RuntimeError("the model does not like 666")
        confidence, probabilities, features = self._session.run(names, inputs, options)
        confidence[newest == 13] = np.nan
        return [confidence, probabilities, features]


def poisoned(engine: Engine) -> None:
    assert engine.model is not None
    object.__setattr__(engine.model, "session", Poisoned(engine.model.session))


def roles(connection: Connection) -> list[tuple[str, str]]:
    """Who scored as what, by the log, in order."""
    scored = "select version, role from ml.predictions join ml.models m on m.id = model_id order by scored_at"
    return [(version, role) for version, role in connection.execute(scored).fetchall()]


def failures(connection: Connection) -> dict[str, str]:
    waiting = "select pattern_id::text, error from ml.failures where redriven_at is null"
    return dict(connection.execute(waiting).fetchall())


@pytest.mark.parametrize("poison", [1, 5, 50])
def test_poison_among_500_rows(connection: Connection, poison: int) -> None:
    """Four kinds of poison, by model and by the application's own constraint and trigger; redriven once mended."""
    insert_bars(connection)
    for symbol, close in (("RAISES", 666.0), ("NAN", 13.0)):
        bars = np.tile([close, close, close, close, 1.0], (150, 1))
        insert_bars(connection, bars, symbol=symbol)
    make_champion(connection, "small-1")
    connection.execute(
        "alter table pattern_events add constraint theirs check (ml_confidence is null or operator_id <> 'c');"
        "create function theirs() returns trigger language plpgsql as "
        "$$ begin raise exception 'not on my watch'; end $$;"
        "create trigger zz_theirs before update on pattern_events for each row "
        "when (new.operator_id = 't' and new.ml_confidence is not null) execute function theirs()"
    )
    kinds: list[tuple[dict[str, str], str]] = [
        ({"symbol": "RAISES"}, "RuntimeError: the model does not like 666"),
        ({"symbol": "NAN"}, "the model answered"),
        ({"operator_id": "c"}, "theirs"),
        ({"operator_id": "t"}, "not on my watch"),
    ]
    bad, good = dict[str, str](), list[str]()
    for place in range(500):
        # Spread over the batches, as many of each kind as there can be.
        if place % (500 // poison) == 0:
            columns, error = kinds[len(bad) % len(kinds)]
            bad[insert_pattern(connection, **columns)] = error
        else:
            good.append(insert_pattern(connection))
    engine = Engine(connection)
    engine.refresh_model()
    poisoned(engine)
    began = time.monotonic()
    while engine.score_queue().done:
        pass
    print(f"{len(good)} good rows scored and {poison} found in {time.monotonic() - began:.2f} s")

    found = failures(connection)
    assert len(bad) == poison
    assert found.keys() == bad.keys()
    assert all(error in found[pattern] for pattern, error in bad.items())
    scored = connection.execute(
        "select count(*) from pattern_events where scored_at is not null and id::text = any (%s)", [good]
    )
    assert scored.fetchone() == (len(good),)
    assert connection.execute("select count(*), count(distinct pattern_id) from ml.predictions").fetchone() == (
        len(good),
        len(good),
    )
    failed = connection.execute(
        "select distinct ml_metadata ->> 'reason', confidence = rule_confidence from pattern_events "
        "where id::text = any (%s)",
        [list(bad)],
    )
    assert failed.fetchall() == [("failed", True)]

    connection.execute("alter table pattern_events drop constraint theirs; drop trigger zz_theirs on pattern_events")
    assert connection.execute("select ml.redrive(model => 'small-1')").fetchone() == (len(bad),)
    mended = Engine(connection)
    while mended.score_queue().done:
        pass
    assert failures(connection) == {}
    assert connection.execute("select count(*) from pattern_events where scored_at is null").fetchone() == (0,)


def test_redrive_wants_to_know_what(connection: Connection) -> None:
    with pytest.raises(psycopg.Error, match="name what to redrive"):
        connection.execute("select ml.redrive()")
    assert connection.execute("select ml.redrive(error_like => '%nothing%')").fetchone() == (0,)


def test_a_model_that_stops_answering_is_set_aside(connection: Connection) -> None:
    insert_bars(connection)
    make_champion(connection, "before")
    make_champion(connection, "now")
    engine = Engine(connection)
    engine.refresh_model()
    assert engine.model is not None
    session = engine.model.session

    class Dead:
        def run(self, *_: object) -> list[Any]:
            raise RuntimeError("out of order")

    object.__setattr__(engine.model, "session", Dead())
    lost = [insert_pattern(connection) for _ in range(breaker.FAULTS - 1)]
    for _ in lost:
        engine.score_queue(limit=1)
    assert failures(connection).keys() == set(lost), "until it is clear whose fault it is, the rows bear it"

    pattern = insert_pattern(connection)
    engine.score_queue()
    assert row_of(connection, pattern, "model_version") == {"model_version": "before"}
    assert engine.model_error is not None
    assert "out of order" in engine.model_error

    object.__setattr__(engine.model, "session", session)
    pattern = insert_pattern(connection)
    engine.score_queue()
    assert row_of(connection, pattern, "model_version") == {"model_version": "before"}, "not tried again so soon"
    engine.champion._breaker._open_until = time.monotonic()  # as if the pause were over
    pattern = insert_pattern(connection)
    engine.score_queue()
    assert row_of(connection, pattern, "model_version") == {"model_version": "now"}
    assert roles(connection) == [("before", "standby"), ("before", "standby"), ("now", "champion")]
    counted = "select role, sum(confidences)::integer from ml_internal.metric_counts where grain = 'day' group by 1"
    assert dict(connection.execute(counted).fetchall()) == {"champion": 1, "standby": 2}
    assert engine.model_error is None


def test_without_a_model_to_stand_by_the_rule_stands(connection: Connection) -> None:
    insert_bars(connection)
    make_champion(connection, "only")
    engine = Engine(connection)
    engine.refresh_model()
    poisoned(engine)
    insert_bars(connection, np.tile([666.0, 666.0, 666.0, 666.0, 1.0], (150, 1)), symbol="RAISES")
    patterns = [insert_pattern(connection, symbol="RAISES") for _ in range(breaker.FAULTS)]
    for _ in patterns:
        engine.score_queue(limit=1)
    row = row_of(connection, patterns[-1], "confidence", "ml_metadata", "scored_at")
    assert row["confidence"] == 0.7
    assert row["ml_metadata"]["reason"] == "failed"
    assert row["scored_at"] is None
    assert patterns[-1] not in failures(connection), "it was never asked about this row"


def test_a_worker_that_starts_with_a_broken_champion_serves_the_one_before(connection: Connection) -> None:
    insert_bars(connection)
    make_champion(connection, "before")
    register(connection, "broken", b"not a model")
    connection.execute("select ml.promote('broken', 'test')")
    engine = Engine(connection)
    pattern = insert_pattern(connection)
    assert engine.score_queue().done == 1
    assert row_of(connection, pattern, "model_version") == {"model_version": "before"}
    assert roles(connection) == [("before", "standby")]


def heavy_model(nodes: int, size: int) -> bytes:
    """Keeps the contract, and multiplies large matrices all day."""
    model = onnx.load_model_from_string(small_model("heavy"))
    side = helper.make_tensor("side", TensorProto.INT64, [2], [size, size])
    model.graph.initializer.append(side)
    extra = [
        helper.make_node("Sub", ["logit", "logit"], ["zeros"]),
        helper.make_node("ReduceSum", ["zeros"], ["nought"], keepdims=0),
        helper.make_node("Expand", ["nought", "side"], ["m0"]),
    ]
    extra += [helper.make_node("MatMul", [f"m{n}", "m0"], [f"m{n + 1}"]) for n in range(nodes)]
    extra += [
        helper.make_node("ReduceSum", [f"m{nodes}"], ["heavy"], keepdims=0),
        helper.make_node("Add", ["logit", "heavy"], ["logit2"]),
    ]
    place = next(i for i, node in enumerate(model.graph.node) if node.op_type == "Sigmoid")
    model.graph.node[place].input[0] = "logit2"
    before, after = list(model.graph.node[:place]), list(model.graph.node[place:])
    del model.graph.node[:]
    model.graph.node.extend([*before, *extra, *after])
    data: bytes = model.SerializeToString()
    return data


def inputs(count: int = 1) -> dict[str, NDArray[Any]]:
    return {"bars": np.ones((count, 128, 5)), "history": np.ones((count, 2))}


def test_the_watchdog_ends_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    data = heavy_model(400, 1200)
    loaded = load(1, "heavy", data, hashlib.sha256(data).hexdigest())
    monkeypatch.setattr(models, "_watchdog", Watchdog(limit_s=0.3))
    with pytest.raises(Exception, match="terminate"):
        loaded.run(inputs())
    monkeypatch.setattr(models, "_watchdog", Watchdog())
    light = small_model("light")
    assert load(2, "light", light, hashlib.sha256(light).hexdigest()).run(inputs())["ml_confidence"].shape == (1,)


def test_a_trial_ends_what_takes_too_long_or_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {"ml_confidence": np.full(1, 0.5, np.float32)}
    golden = Golden(inputs(), answers).to_bytes()
    require_trial("light", small_model("light"), None)
    with pytest.raises(InvalidModel, match="hungry"):
        require_trial("hungry", heavy_model(1, 30_000), golden)
    monkeypatch.setattr(sandbox, "TRIAL_S", 2.0)
    with pytest.raises(InvalidModel, match=r"slow .* 2 s"):
        require_trial("slow", heavy_model(3000, 1500), golden)


def partly_nan_model() -> bytes:
    """Answers a confidence and no other probability, whatever it is asked."""
    model = onnx.load_model_from_string(small_model("faulty"))
    half = next(item for item in model.graph.initializer if item.name == "half_f")
    half.CopyFrom(onnx.numpy_helper.from_array(np.asarray(np.float32(np.nan)), "half_f"))
    data: bytes = model.SerializeToString()
    return data


@pytest.mark.parametrize(
    ("faulty", "said"),
    [
        (heavy_model(3000, 1500), "did not finish its trial run within 2 s"),
        (heavy_model(1, 30_000), "cannot answer plain rows|failed its trial run"),
        (partly_nan_model(), "does not answer: the model answered \\[nan, nan, 0."),
    ],
    ids=["hangs", "hungry", "partly-nan"],
)
def test_a_faulty_model_forced_into_the_registry_is_not_served(
    connection: Connection, monkeypatch: pytest.MonkeyPatch, faulty: bytes, said: str
) -> None:
    """Registration refuses each of them (tests/training/test_check.py)."""
    if "within 2 s" in said:
        monkeypatch.setattr(sandbox, "TRIAL_S", 2.0)
    insert_bars(connection)
    make_champion(connection, "before")
    make_champion(connection, "faulty", faulty)
    engine = Engine(connection)
    engine.refresh_model()
    for _ in range(breaker.FAULTS):
        pattern = insert_pattern(connection)
        assert engine.score_queue(1).done == 1
    assert row_of(connection, pattern, "model_version") == {"model_version": "before"}
    assert roles(connection)[-1] == ("before", "standby")
    assert engine.model_error is not None
    assert re.search(said, engine.model_error), engine.model_error


def test_a_model_that_reads_a_file_beside_it_is_not_served(
    connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Registration refuses it; forced into the registry, it reads nothing and the champion before it serves."""
    model = onnx.load_model_from_string(small_model("nosy"))
    weights = next(item for item in model.graph.initializer if item.name == "weights")
    (tmp_path / "weights.bin").write_bytes(weights.raw_data)
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="weights.bin")
    nosy = model.SerializeToString()
    monkeypatch.chdir(tmp_path)
    assert any("keeps its data in another file" in fault for fault in check_model(nosy))

    insert_bars(connection)
    make_champion(connection, "before")
    register(connection, "nosy", nosy)
    connection.execute("select ml.promote('nosy', 'test')")
    engine = Engine(connection)
    pattern = insert_pattern(connection)
    engine.score_queue()
    assert row_of(connection, pattern, "model_version") == {"model_version": "before"}
    assert engine.model_error is not None
    assert "nosy does not load" in engine.model_error
