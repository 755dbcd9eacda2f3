"""What tests insert and wait for: patterns, bars, and small models that keep the contract."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper
from psycopg.types.json import Jsonb

from db_functions.contract import CONTRACT_VERSION
from db_functions.database import Connection

FITTED_LONG_AGO = {"fitted_from": -(10**9), "fitted_until": -(10**9)}
"""The window that models of the tests state, so that every row is evidence for or against them."""
START = datetime(2024, 1, 1, 21, tzinfo=UTC)


def at(day: int) -> datetime:
    """The moment at which the daily bar number ``day`` is complete."""
    return START + timedelta(days=day)


def insert_pattern(connection: Connection, **columns: Any) -> str:
    """One row; anything given replaces a plain pattern's columns. Returns its id."""
    row: dict[str, Any] = {
        "symbol": "ACME",
        "timeframe": "1d",
        "pattern_type": "double_bottom",
        "detected_at": at(150),
        "entry": 100.0,
        "stoploss": 95.0,
        "target": 110.0,
        "confidence": 0.7,
        **columns,
    }
    names = ", ".join(row)
    marks = ", ".join(f"%({name})s" for name in row)
    found = connection.execute(
        f"insert into pattern_events ({names}) values ({marks}) returning id::text", row
    ).fetchone()
    assert found is not None
    return str(found[0])


def row_of(connection: Connection, pattern_id: str, *columns: str) -> dict[str, Any]:
    """Columns of one pattern by name; all of them when none is named."""
    cursor = connection.execute(f"select {', '.join(columns) or '*'} from pattern_events where id = %s", [pattern_id])
    found = cursor.fetchone()
    assert found is not None
    assert cursor.description is not None
    return dict(zip([column.name for column in cursor.description], found, strict=True))


def random_bars(count: int, seed: int = 0, start: float = 100.0) -> NDArray[np.float64]:
    """[count, 5] a seeded random walk of open, high, low, close, volume."""
    rng = np.random.default_rng(seed)
    close = start * np.exp(np.cumsum(rng.normal(0, 0.01, count)))
    opened = np.concatenate([[start], close[:-1]])
    high = np.maximum(opened, close) * (1 + rng.uniform(0, 0.01, count))
    low = np.minimum(opened, close) * (1 - rng.uniform(0, 0.01, count))
    return np.stack([opened, high, low, close, rng.integers(1_000, 9_000, count).astype(float)], axis=1)


def insert_bars(
    connection: Connection,
    bars: NDArray[np.float64] | None = None,
    *,
    symbol: str = "ACME",
    timeframe: str = "1d",
    days: Sequence[int] | None = None,
) -> None:
    """Daily bars, the first complete at ``at(0)`` unless ``days`` says otherwise."""
    bars = random_bars(200) if bars is None else bars
    days = range(len(bars)) if days is None else days
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into price_bars values (%s, %s, %s, %s, %s, %s, %s, %s)",
            [(symbol, timeframe, at(day), *map(float, bar)) for day, bar in zip(days, bars, strict=True)],
        )


def insert_labelled(connection: Connection) -> None:
    """Some hundreds of labelled patterns of the symbol WIDE, of all three outcomes."""
    insert_bars(connection, random_bars(900, seed=4), symbol="WIDE")
    connection.execute(
        "insert into pattern_events (symbol, timeframe, pattern_type, detected_at, entry, stoploss, target, "
        "rule_confidence) select symbol, timeframe, 'flag', ts, close, close * 0.95, close * 1.05, 0.5 from price_bars "
        "where symbol = 'WIDE' and ts between %s and %s and extract(day from ts)::integer %% 2 = 0",
        [at(130), at(870)],
    )
    connection.execute("select ml.label_outcomes()")
    connection.execute("delete from ml.queue")


def small_model(version: str, *, bias: float = 0.0, sensitivity: float = 1.0, min_bars: int = 5) -> bytes:
    """An ONNX file on ``bars`` and ``history`` alone.

    P(positive) = sigmoid(bias + sensitivity * x), x being the sum over the window of close, high and volume changes of
    every bar (so that any changed bar changes the score) and of the history inputs; the rest is split evenly.
    """
    nodes = [
        # log of everything, missing bars as 1
        helper.make_node("IsNaN", ["bars"], ["missing"]),
        helper.make_node("Where", ["missing", "one", "bars"], ["filled"]),
        helper.make_node("Max", ["filled", "tiny"], ["bounded"]),
        helper.make_node("Log", ["bounded"], ["logs"]),
        helper.make_node("Mul", ["logs", "weights"], ["weighted"]),
        helper.make_node("ReduceSum", ["weighted", "axes"], ["bars_part"], keepdims=0),
        helper.make_node("IsNaN", ["history"], ["no_history"]),
        helper.make_node("Where", ["no_history", "zero", "history"], ["history_filled"]),
        helper.make_node("ReduceSum", ["history_filled", "last_axis"], ["history_part"], keepdims=0),
        helper.make_node("Mul", ["history_part", "hundredth"], ["history_small"]),
        helper.make_node("Add", ["bars_part", "history_small"], ["both"]),
        helper.make_node("Mul", ["both", "sensitivity"], ["scaled"]),
        helper.make_node("Add", ["scaled", "bias"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["p"]),
        helper.make_node("Cast", ["p"], ["ml_confidence"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["one_f", "ml_confidence"], ["rest"]),
        helper.make_node("Mul", ["rest", "half_f"], ["half_rest"]),
        helper.make_node("Unsqueeze", ["half_rest", "last_axis"], ["column"]),
        helper.make_node("Unsqueeze", ["ml_confidence", "last_axis"], ["last_column"]),
        helper.make_node("Concat", ["column", "column", "last_column"], ["probabilities"], axis=1),
        helper.make_node("Cast", ["history"], ["features"], to=TensorProto.FLOAT),
    ]
    rng = np.random.default_rng(1)
    constants: dict[str, Any] = {
        "one": np.float64(1),
        "zero": np.float64(0),
        "tiny": np.float64(1e-9),
        "hundredth": np.float64(0.01),
        "weights": rng.uniform(-0.01, 0.01, (128, 5)),
        "axes": np.array([1, 2], dtype=np.int64),
        "last_axis": np.array([1], dtype=np.int64),
        "sensitivity": np.float64(sensitivity),
        "bias": np.float64(bias),
        "one_f": np.float32(1),
        "half_f": np.float32(0.5),
    }
    graph = helper.make_graph(
        nodes,
        "small",
        [
            helper.make_tensor_value_info("bars", TensorProto.DOUBLE, ["N", 128, 5]),
            helper.make_tensor_value_info("history", TensorProto.DOUBLE, ["N", 2]),
        ],
        [
            helper.make_tensor_value_info("ml_confidence", TensorProto.FLOAT, ["N"]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 3]),
            helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", 2]),
        ],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(
        model,
        {
            "contract_version": str(CONTRACT_VERSION),
            "model_version": version,
            "feature_names": json.dumps(["history_positive_rate", "history_count"]),
            "min_bars": str(min_bars),
        },
    )
    data: bytes = model.SerializeToString()
    return data


def register(
    connection: Connection,
    version: str,
    data: bytes | None = None,
    *,
    parity: float | None = 0.0,
    min_bars: int = 5,
    baseline: dict[str, Any] | None = None,
    metrics: dict[str, Any] | None = None,
) -> None:
    """Put a model into the registry, with a recorded parity check unless ``parity`` is None."""
    connection.execute(
        "select ml_internal.register_model(%s, 'test', %s, 1, '{bars,history}', "
        "'{ml_confidence,probabilities,features}', "
        "'{history_positive_rate,history_count}', %s, %s, '', %s, %s, null)",
        [
            version,
            data or small_model(version, min_bars=min_bars),
            min_bars,
            Jsonb(FITTED_LONG_AGO | (metrics or {})),
            Jsonb({}),
            Jsonb(baseline or {}),
        ],
    )
    if parity is not None:
        connection.execute("select ml_internal.record_parity(%s, %s, 1e-5, 8, 'test')", [version, parity])


def make_champion(
    connection: Connection, version: str, data: bytes | None = None, *, baseline: dict[str, Any] | None = None
) -> None:
    register(connection, version, data, baseline=baseline)
    connection.execute("select ml.promote(%s, 'test')", [version])


DOORBELL = "ml_doorbell"
"""What the secret name of the workers' channel begins with."""


def listen_to_doorbell(connection: Connection) -> None:
    """Hear what wakes workers."""
    connection.execute("do $$ begin execute format('listen %I', (select channel from ml_internal.doorbell)); end $$")


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = 20.0) -> None:
    """Wait until ``condition`` holds, looking every few milliseconds; fail saying ``what`` did not happen."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, f"{what} did not happen within {timeout_s} s"
        time.sleep(0.005)
