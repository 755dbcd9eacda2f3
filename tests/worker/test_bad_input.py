"""Bad input of every kind: values through SQL, column by column, and damaged ONNX files.

A row is refused with a message that names its column, or taken and then scored or given a reason; a file is refused
in one clear line, or answers. Nothing else is lost by either. Each test prints what it counted.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import numpy as np
import onnx
import psycopg
import pytest
from onnx import helper

from db_functions.contract import CONTEXT_COLUMNS, check_outputs
from db_functions.database import Connection
from db_functions.errors import InvalidModel
from db_functions.model import load
from db_functions.sandbox import require_trial
from tests import training_support
from tests.support import at, insert_bars, insert_pattern, make_champion, row_of, small_model
from training import check
from training.load import load_dataset
from training.trial import trial_inputs
from worker.serving.engine import Engine

FALLBACKS = {"insufficient_bars", "low_quality", "failed", "no_model"}
_random = random.Random(5)
_ODD = "".join(map(chr, (0x7F, 0x85, 0xA0, 0x5D0, 0x200B, 0x202E, 0x2028, 0xFEFF, 0xFFFD, 0xFFFF, 0x1F600, 0x20000)))
TEXTS = [
    "",
    " ",
    "x" * 1_000_000,
    "".join(_random.choices([chr(n) for n in range(33, 0x3000)], k=500_000)),
    _ODD + "".join(chr(plane << 16 | 0x41) for plane in range(17)),
    "\u202e\u05d0\u0627 right to left",
    "\N{GRINNING FACE}\N{ZERO WIDTH JOINER}\N{FAMILY}",
    "'; drop table pattern_events; --\"\\%s$1{}",
    "".join(map(chr, range(1, 32))),
    "\\x00",
    "NaN",
]
_IN_MARKET = [
    "null",
    "true",
    '""',
    '"NaN"',
    '"-Infinity"',
    '"1e999"',
    "1e400",
    "-" + "9" * 5_000,
    "1e-400",
    "5e-324",
    "[1]",
    '{"vix": 1}',
    json.dumps(_ODD),
    '"' + "9" * 1_000_000 + '"',
    "[" * 2_000 + "]" * 2_000,
]
JSONS = [
    "null",
    "17",
    "1e100000",
    '"text"',
    "true",
    "[]",
    "[[1], null, {}]",
    "[" * 2_000 + "]" * 2_000,
    '{"a":' * 2_000 + "1" + "}" * 2_000,
    '{"market": null}',
    '{"market": []}',
    '{"market": "calm"}',
    '{"market": {}}',
    '{"market": {"vix": 1, "vix": "two"}}',
    json.dumps({"market": {"": 1, _ODD: _ODD}}),
    json.dumps({"big": "x" * 1_000_000}),
    *(
        f'{{"market": {{{", ".join(f"{json.dumps(name)}: {value}" for name in CONTEXT_COLUMNS)}}}}}'
        for value in _IN_MARKET
    ),
    '{"market": {"vix": ' + "[" * 2_000 + "]" * 2_000 + "}}",
    r'{"market": "\ud83d\ude00"}',
    r'{"market": "\ud83d"}',
    r'{"market": "\u0000"}',
    "{",
    "",
    "NaN",
]
FLOATS = [
    "NaN",
    "Infinity",
    "-Infinity",
    "5e-324",
    "-5e-324",
    "1.797e308",
    "-1.797e308",
    "-0.0",
    "1e309",
    "1e-400",
    "x",
]
TIMES = [
    "-infinity",
    "infinity",
    "4713-01-01 00:00:00+00 BC",
    "4714-01-01 00:00:00+00 BC",
    "0001-01-01 00:00:00+00",
    "9999-12-31 23:59:59.999999+00",
    "294276-12-31 23:59:59.999999+00",
    "294277-01-01 00:00:00+00",
    "2024-02-30",
    "",
]
VALUES = {
    "double precision": FLOATS,
    "timestamp with time zone": TIMES,
    "jsonb": JSONS,
    "text": TEXTS,
    "smallint": ["-32768", "32767", "32768", "-1", "1.5", ""],
    "integer": ["-2147483648", "2147483647", "2147483648", "1.5"],
    "boolean": ["maybe", "2", "yes"],
    "uuid": ["", "not-a-uuid", "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"],
    "USER-DEFINED": ["Pending", "pendin", "", "confirmed"],
}
Case = tuple[str, str | None]
FLAT = dict.fromkeys(("open", "high", "low", "close"), "100")
PRICES = ("5e-324", "1.797e308", "-1.797e308", "-0.0")


@dataclass(slots=True)
class Catalogue:
    """What became of each case."""

    accepted: dict[str, Case] = field(default_factory=dict)
    refused: list[tuple[Case, psycopg.errors.Diagnostic]] = field(default_factory=list)

    def attempt(self, connection: Connection, case: Case, action: Callable[[], str]) -> None:
        """Do it in a transaction of its own; ``action`` returns the id of its row."""
        try:
            with connection.transaction():
                self.accepted[action()] = case
        except psycopg.Error as error:
            self.refused.append((case, error.diag))

    def check(self, what: str) -> None:
        """Some of both, and every refusal clear."""
        assert [(shown(case), diag.message_primary) for case, diag in self.refused if not clear(case, diag)] == []
        assert self.accepted
        assert self.refused
        print(f"\n{what}: {len(self.accepted)} accepted, {len(self.refused)} refused", end="")


def cases(connection: Connection, table: str) -> list[Case]:
    """Every column of ``table`` with null and with every value that its type has in ``VALUES``."""
    columns = connection.execute(
        "select column_name, data_type from information_schema.columns "
        "where table_schema = 'public' and table_name = %s order by ordinal_position",
        [table],
    ).fetchall()
    return [(name, value) for name, kind in columns for value in [*VALUES[kind], None]]


def shown(case: Case) -> str:
    return f"{case[0]} = {case[1]!r:.60}"


def clear(case: Case, diag: psycopg.errors.Diagnostic) -> bool:
    """Whether a refusal names the column, at no great length, or is Postgres' own for what is not of the type."""
    message = diag.message_primary or ""
    if (diag.sqlstate or "").startswith("22"):
        return bool(message)
    if diag.constraint_name:
        return case[0] in diag.constraint_name or f"({case[0]})" in (diag.message_detail or "")
    return bool(diag.column_name) and case[0] in message and len(message) < 500


def inserted(connection: Connection, table: str, row: dict[str, Any]) -> None:
    marks = ", ".join(f"%({name})s" for name in row)
    connection.execute(f"insert into {table} ({', '.join(row)}) values ({marks})", row)


def changed(connection: Connection, pattern_id: str, column: str, value: str | None) -> str:
    """Set one column; returns the row's id, which may be what was set."""
    statement = f"update pattern_events set {column} = %s where id = %s returning id::text"
    found = connection.execute(statement, [value, pattern_id]).fetchone()
    assert found is not None
    return str(found[0])


def insert_odd_bars(connection: Connection) -> None:
    """Bars with every column's every extreme, in a series of their own and beyond both ends of another."""
    insert_bars(connection, symbol="ODD")
    catalogue = Catalogue()

    def bar(number: int, **columns: Any) -> str:
        row = {"symbol": "ODD", "timeframe": "1d", "ts": at(100) + timedelta(minutes=number), **FLAT, **columns}
        inserted(connection, "price_bars", row)
        return f"{number}"

    for number, (column, value) in enumerate(cases(connection, "price_bars"), start=1):
        catalogue.attempt(connection, (column, value), lambda: bar(number, **{column: value}))  # noqa: B023
    catalogue.check("bars")
    for number, price in enumerate(PRICES, start=1):
        prices = dict.fromkeys(FLAT, price)
        bar(-number, **prices)
        bar(number, symbol="EXTREME", **prices)
    for ts in ("4713-01-01 00:00:00+00 BC", "294276-12-31 23:59:59.999999+00"):
        inserted(connection, "price_bars", {"symbol": "ACME", "timeframe": "1d", "ts": ts, **FLAT})


def drained(connection: Connection) -> Engine:
    """A new engine that has scored all that waited: no row waits or is dead-lettered, each has a score or a reason."""
    engine = Engine(connection)
    while engine.score_queue().done:
        pass
    assert engine.model_error is None
    assert connection.execute("select count(*) from ml.queue").fetchone() == (0,)
    assert connection.execute("select pattern_id, error from ml.failures").fetchall() == []
    for reason, score, scored in connection.execute(
        "select distinct ml_metadata ->> 'reason', ml_confidence, scored_at is not null from pattern_events"
    ):
        assert 0 <= score <= 1 if scored else score is None and reason in FALLBACKS
    done = engine.counters
    print(
        f"\n{engine.model and engine.model.version}: {done.scored} scored, {done.fallbacks} fell back, "
        f"{done.failed} dead-lettered",
        end="",
    )
    return engine


@pytest.mark.slow
def test_every_column_and_every_extreme(connection: Connection) -> None:
    """By INSERT and by UPDATE; other rows' scores, the labelling and the loader go on as if nothing had been."""
    insert_bars(connection)
    make_champion(connection, "small-1")
    control, late_control = insert_pattern(connection), insert_pattern(connection, detected_at=at(250))
    drained(connection)
    insert_odd_bars(connection)
    by_insert, by_update = Catalogue(), Catalogue()
    good = []
    for column, value in cases(connection, "pattern_events"):
        by_insert.attempt(connection, (column, value), lambda: insert_pattern(connection, **{column: value}))  # noqa: B023
        good.append(insert_pattern(connection))
        target = insert_pattern(connection)
        by_update.attempt(connection, (column, value), lambda: changed(connection, target, column, value))  # noqa: B023
    late = insert_pattern(connection, detected_at=at(250))
    by_insert.check("INSERT")
    by_update.check("UPDATE")
    # The same rows once more, over odd bars.
    for symbol in ("ODD", "EXTREME"):
        connection.execute(
            "insert into pattern_events (symbol, timeframe, pattern_type, detected_at, started_at, entry, stoploss, "
            "target, support, resistance, metadata, confidence) "
            "select %s, '1d', pattern_type, detected_at, started_at, "
            "entry, stoploss, target, support, resistance, metadata, confidence "
            "from pattern_events where id = any (%s)",
            [symbol, list(by_insert.accepted)],
        )

    engine = drained(connection)
    assert engine.counters.scored > len(good) + len(by_insert.accepted)
    expected = row_of(connection, control, "ml_confidence")["ml_confidence"]
    scores = connection.execute("select distinct ml_confidence from pattern_events where id = any (%s)", [good])
    assert scores.fetchall() == [(expected,)], "what other rows hold is not a good row's business"
    assert row_of(connection, late, "ml_confidence") == row_of(connection, late_control, "ml_confidence")

    found = connection.execute("select ml.label_outcomes()").fetchone()
    assert found is not None
    outcomes = connection.execute("select count(outcome_label) from pattern_events where id = any (%s)", [good])
    assert outcomes.fetchone() == (len(good),)
    dataset = load_dataset(connection)
    assert len(good) <= len(dataset) <= found[0]
    assert not any(np.isinf(dataset.inputs[name]).any() for name in ("levels", "duration_s", "context", "bars"))
    print(f"\n{found[0]} labelled, {len(dataset)} loaded", end="")

    make_champion(connection, "trained-1", training_support.small_export().onnx)
    connection.execute("insert into ml.queue (pattern_id) select id from pattern_events")
    trained = drained(connection)
    assert trained.counters.scored >= engine.counters.scored // 2


def test_a_type_too_long_to_count_stops_no_labelling(connection: Connection) -> None:
    """Rows from before the upgrade may hold what intake refuses now."""
    insert_bars(connection)
    good = insert_pattern(connection)
    connection.execute("alter table pattern_events disable trigger ml_1_intake")
    long = insert_pattern(connection, pattern_type=TEXTS[3], direction=1)
    assert connection.execute("select ml.label_outcomes()").fetchone() == (2,)
    assert row_of(connection, good, "outcome_label") != {"outcome_label": None}
    assert len(load_dataset(connection)) == 2
    changed(connection, long, "pattern_type", "short")
    counts = connection.execute("select pattern_type, total from ml_internal.outcome_days order by 1").fetchall()
    assert counts == [("double_bottom", 1), ("short", 1)]


@pytest.mark.parametrize("value", ["1e400", "-1e5000", "1e-400", "NaN", "Infinity"])
def test_levels_that_no_double_can_hold(connection: Connection, value: str) -> None:
    """An adopted column may be numeric: one such row must not stop the claim or the labelling of all others."""
    levels = ("support", "resistance", "target", "entry", "stoploss")
    connection.execute(
        "alter table pattern_events " + ", ".join(f"alter column {name} type numeric" for name in levels)
    )
    insert_bars(connection)
    make_champion(connection, "small-1")
    for name in levels:
        insert_pattern(connection, **{name: value})
    good = insert_pattern(connection)
    assert drained(connection).counters.scored == len(levels) + 1
    connection.execute("select ml.label_outcomes()")
    assert row_of(connection, good, "outcome_label") != {"outcome_label": None}
    load_dataset(connection)


@pytest.mark.parametrize(
    ("column", "value"),
    [("confidence", "1.5"), ("rule_confidence", "NaN"), ("detected_at", "infinity"), ("direction", "7")],
)
def test_one_bad_row_among_ten_thousand_is_named(transaction: Connection, column: str, value: str) -> None:
    place = random.Random(column).randrange(10_000)
    there = insert_pattern(transaction, symbol="S-1")
    transaction.execute("delete from ml.queue")
    columns = {
        "symbol": "'S' || n",
        "timeframe": "'1d'",
        "pattern_type": "'flag'",
        "detected_at": "timestamptz '2024-01-01Z' + n * interval '1 minute'",
    }
    kind = transaction.execute("select pg_typeof(" + column + ")::text from pattern_events").fetchone()
    assert kind is not None
    otherwise = columns.get(column, "null")
    columns[column] = f"case when n = {place} then '{value}'::{kind[0]} else {otherwise} end"
    insert = (
        f"insert into pattern_events ({', '.join(columns)}) select {', '.join(columns.values())} "
        "from generate_series(0, 9999) n"
    )
    row = f"Row: symbol S{place}, timeframe 1d, pattern_type flag, detected_at "
    with pytest.raises(psycopg.errors.CheckViolation) as caught, transaction.transaction():
        transaction.execute(insert)
    diag = caught.value.diag
    assert (diag.column_name, (diag.message_detail or "")[: len(row)]) == (column, row)
    assert (diag.message_primary or "").startswith(f"pattern_events.{column} is {value}; allowed: ")
    assert transaction.execute("select id::text from pattern_events").fetchall() == [(there,)]
    assert transaction.execute("select count(*) from ml.queue").fetchone() == (0,)

    with pytest.raises(psycopg.errors.CheckViolation) as caught, transaction.transaction():
        changed(transaction, there, column, value)
    assert (caught.value.diag.message_detail or "").startswith("Row: symbol S-1, timeframe 1d, pattern_type double_")


# Files


FILES = 12


def damaged(seed: int) -> bytes:
    """The small model with its bytes damaged (odd seeds) or its fields changed (even ones), always the same way."""
    rng = random.Random(seed)
    data = small_model("fuzz-1")
    return _broken_bytes(rng, data) if seed % 2 else _broken_fields(rng, onnx.load_model_from_string(data))


def _broken_bytes(rng: random.Random, whole: bytes) -> bytes:
    data = bytearray(whole)
    for _ in range(rng.choice([1, 1, 2, 4])):
        place = rng.randrange(len(data))
        match rng.randrange(5):
            case 0:
                data[place] ^= 1 << rng.randrange(8)
            case 1:
                data[place] = rng.randrange(256)
            case 2:
                data[place:place] = data[place : place + rng.randrange(1, 64)]
            case 3:
                data[place:place] = rng.randbytes(rng.randrange(1, 16))
            case _:
                del data[max(1, place) :]
    return bytes(data)


def _broken_fields(rng: random.Random, model: onnx.ModelProto) -> bytes:
    graph = model.graph
    numbers = [-(2**63), -1, 0, 1, 7, 2**31, 2**62]
    for _ in range(rng.choice([1, 1, 2])):
        node, tensor = rng.choice(graph.node), rng.choice(graph.initializer)
        value = rng.choice([*graph.input, *graph.output]).type.tensor_type
        match rng.randrange(9):
            case 0:
                node.op_type = rng.choice(OPERATORS)
            case 1:
                node.input[0] = rng.choice(graph.node).output[0]
            case 2:
                attribute = helper.make_attribute(rng.choice(["axis", "to", "keepdims", "body"]), rng.choice(numbers))
                node.attribute.append(attribute)
            case 3:
                tensor.data_type = rng.randrange(25)
            case 4:
                tensor.dims.append(rng.choice(numbers))
            case 5:
                value.elem_type = rng.randrange(25)
            case 6:
                rng.choice(value.shape.dim).dim_value = rng.choice(numbers)
            case 7:
                model.opset_import[0].version = rng.choice([*numbers, 6, 11, 13, 25])
            case _:
                nodes = rng.sample(list(graph.node), len(graph.node) - rng.randrange(2))
                del graph.node[:]
                graph.node.extend(nodes)
    data: bytes = model.SerializeToString()
    return data


OPERATORS = sorted({schema.name for schema in onnx.defs.get_all_schemas()})


def test_damaged_files_are_read_without_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the parent process does with a file: it opens no session, and every fault is one line."""
    tried: list[bytes] = []

    def trial(data: bytes, *_: float) -> list[str]:
        tried.append(data)
        return []

    monkeypatch.setattr(check, "_run_trial", trial)
    kinds: Counter[str] = Counter()
    for seed in range(3_000):
        faults = check.check_model(damaged(seed))
        assert all(fault.isprintable() and len(fault) < 500 for fault in faults), (seed, faults)
        kinds[faults[0].split("(")[0][:45] if faults else "left to the trial"] += 1
    print("\n3,000 files:", dict(kinds))
    assert 0 < len(tried) < 3_000
    assert len(kinds) > 6


def test_a_model_without_golden_rows_is_run_elsewhere_first() -> None:
    """It loads, and fails when it runs: the worker must not be the first to see that."""
    model = onnx.load_model_from_string(small_model("fuzz-1"))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([99]), "far"))
    model.graph.node[-1].input[0] = "moved"
    last = model.graph.node.pop()
    model.graph.node.append(helper.make_node("Gather", ["history", "far"], ["row_99"]))
    model.graph.node.append(helper.make_node("Add", ["history", "row_99"], ["moved"]))
    model.graph.node.append(last)
    assert "cannot answer plain rows" in (refused_at_trial(model.SerializeToString()) or "")


def test_bytes_moved_between_model_and_golden_rows_are_another_model() -> None:
    data = small_model("fuzz-1")
    require_trial("fuzz-1", data, None)
    with pytest.raises(InvalidModel):
        require_trial("fuzz-1", data[:-20], data[-20:])


@pytest.mark.parametrize("old", [b"Sigmoid", b"fuzz-1", b"min_bars", b"feature_names", b"history"])
def test_names_that_are_not_text(old: bytes) -> None:
    (fault, *_) = check.check_model(small_model("fuzz-1").replace(old, b"\xff" * len(old)))
    assert fault.isprintable()


def _not_refused_at_sight() -> Iterator[tuple[int, bytes]]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(check, "_run_trial", lambda *_: [])
        for seed in range(10_000):
            data = damaged(seed)
            if not check.check_model(data):
                yield seed, data


def refused_at_trial(data: bytes) -> str | None:
    try:
        require_trial("fuzz-1", data, None)
    except InvalidModel as error:
        return str(error)
    return None


@pytest.mark.slow
def test_damaged_files_are_refused_in_one_line_or_answer() -> None:
    """The trials of the registry and of the worker, each in its own process; a model that passes must answer."""
    inputs = trial_inputs(5)
    kinds: Counter[str] = Counter()
    for seed, data in [next_ for next_, _ in zip(_not_refused_at_sight(), range(FILES), strict=False)]:
        faults = check.check_model(data)
        assert all(fault.isprintable() and len(fault) < 1_000 for fault in faults), (seed, faults)
        refusal = refused_at_trial(data)
        assert refusal is None or (refusal.startswith("model fuzz-1 ") and refusal.isprintable()), (seed, refusal)
        kinds[
            f"{'refused' if faults else 'accepted'} by the registry, {'refused' if refusal else 'loaded'} by the worker"
        ] += 1
        if not faults:
            model = load(1, "fuzz-1", data, hashlib.sha256(data).hexdigest())
            answers = model.run({name: inputs[name] for name in model.input_names})
            assert check_outputs(answers, len(inputs["bars"])).all(), seed
    print(f"\n{FILES} files:", dict(kinds))
    assert kinds["refused by the registry, refused by the worker"]
    assert kinds["accepted by the registry, loaded by the worker"]
    assert not kinds["accepted by the registry, refused by the worker"], "what registers serves"
