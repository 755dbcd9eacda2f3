"""No order of tools loses the confidence that an application gave: random sequences against a model in plain Python.

The rule: what the application wrote last, in ``confidence`` or ``rule_confidence``, is its rule confidence, whether
triggers fired or not. Of two that were loaded together, ``rule_confidence`` counts, as in an INSERT.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest

from db_functions.database import Connection
from tests.conftest import downgrade, upgrade
from tests.older import VARIANTS, build
from tests.sql_support import write_scores
from tests.support import insert_pattern, make_champion, register, row_of

MakeDatabase = Callable[[str | None], str]
FALLBACKS = ("no_model", "insufficient_bars", "low_quality", "failed")


@contextmanager
def silenced(connection: Connection, how: str) -> Iterator[None]:
    """No trigger fires in here, ``how`` says why; ``on`` lets them fire."""
    begin, end = {
        "on": ("select 1", "select 1"),
        "replica": ("set session_replication_role = replica", "reset session_replication_role"),
        "disabled": (
            "alter table pattern_events disable trigger user",
            "alter table pattern_events enable trigger user",
        ),
    }[how]
    connection.execute(begin.encode())
    try:
        yield
    finally:
        connection.execute(end.encode())


@dataclass
class Row:
    """What the application wrote of a row."""

    given: float | None
    """Its rule confidence by the rule above."""
    rule_first: bool = False
    """Loaded with both and not decided yet: until then a silent write of ``confidence`` is not the newer truth."""


@dataclass
class Storm:
    """One sequence: each operation is done to the database and to the model."""

    connection: Connection
    seed: int
    rows: dict[str, Row] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.draw = random.Random(self.seed)

    def run(self, steps: int, but: tuple[str, ...] = ()) -> None:
        operations = [getattr(self, name) for name in dir(Storm) if name.startswith("do_") and name not in but]
        for _ in range(steps):
            operation = self.draw.choice(operations)
            self.done.append(operation.__name__)
            operation()

    def value(self, *, absent: float = 0.1) -> float | None:
        if self.draw.random() < absent:
            return None
        return self.draw.choice([0.0, 0.25, 1.0, self.draw.random(), self.draw.random()])

    def some(self) -> list[str]:
        return self.draw.sample(sorted(self.rows), min(len(self.rows), self.draw.randint(1, 5)))

    def silence(self) -> str:
        return self.draw.choice(["on", "replica", "disabled"])

    def do_insert(self) -> None:
        how, confidence, rule = self.silence(), self.value(), self.value(absent=0.6)
        with silenced(self.connection, how):
            pattern = insert_pattern(self.connection, confidence=confidence, rule_confidence=rule)
        given = confidence if rule is None else rule
        self.rows[pattern] = Row(given, rule_first=how != "on" and rule is not None)

    def do_copy(self) -> None:
        confidence = self.value(absent=0)
        pattern = str(random.Random(self.draw.random()).getrandbits(128).to_bytes(16).hex())
        copy = "copy pattern_events (id, symbol, timeframe, pattern_type, confidence) from stdin"
        with silenced(self.connection, self.silence()), self.connection.cursor().copy(copy.encode()) as rows:
            rows.write_row((pattern, "ACME", "1d", "flag", confidence))
        self.rows[row_of(self.connection, pattern, "id::text")["id"]] = Row(confidence)

    def do_write_confidence(self) -> None:
        how = self.silence()
        for pattern in self.some():
            row, value = self.rows[pattern], self.value()
            before = row_of(self.connection, pattern, "confidence")["confidence"]
            with silenced(self.connection, how):
                self.connection.execute("update pattern_events set confidence = %s where id = %s", [value, pattern])
            if value == before or (how != "on" and row.rule_first):
                continue  # an UPDATE that changes nothing says nothing
            self.rows[pattern] = Row(value)

    def do_write_rule(self) -> None:
        for pattern in self.some():
            value = self.value()
            before = row_of(self.connection, pattern, "rule_confidence::float8")["rule_confidence"]
            self.connection.execute("update pattern_events set rule_confidence = %s where id = %s", [value, pattern])
            if value != before:
                self.rows[pattern] = Row(value)

    def do_write_something_else(self) -> None:
        with silenced(self.connection, self.silence()):
            self.connection.execute(
                "update pattern_events set status = 'confirmed', entry = %s where id = any (%s)",
                [self.draw.random() * 100, self.some()],
            )

    def do_score(self) -> None:
        chosen = self.some()
        reasons = [self.draw.choice(FALLBACKS) if self.draw.random() < 0.3 else None for _ in chosen]
        confidences = [self.draw.random() if reason in (None, "low_quality") else None for reason in reasons]
        write_scores(self.connection, chosen, confidences, reasons)
        for pattern in chosen:
            self.rows[pattern].rule_first = False

    def do_set(self) -> None:
        name, value = self.draw.choice([("threshold", 0.5), ("threshold", 0.9), ("ml_weight", 0.6), ("ml_weight", 1)])
        self.connection.execute("select ml.set(%s, %s::numeric, 'storm')", [name, value])

    def do_switch(self) -> None:
        self.connection.execute(f"select ml.{self.draw.choice(['enable', 'disable'])}('storm')".encode())

    def do_reblend(self) -> None:
        self.connection.execute("select ml.reblend('storm', false)")

    def do_label(self) -> None:
        for pattern in self.some():
            label = self.draw.choice(["positive", "negative", "neutral"])
            self.connection.execute("select ml.label(%s, %s, 'storm')", [pattern, label])

    def do_promote_and_retire(self) -> None:
        version = f"of-the-storm-{len(self.done)}"
        register(self.connection, version)
        self.connection.execute("select ml.promote(%s, 'storm')", [version])
        self.connection.execute(
            "select ml.retire(version, 'storm') from ml.models where version like 'of-the-storm-%%' "
            "and version <> %s and retired_at is null "
            "and id not in (select model_id from ml.aliases) limit 1",
            [version],
        )

    def check(self) -> None:
        """Every row is decided, by a score that is not used: what the application gave is served."""
        write_scores(self.connection, list(self.rows), [0.5] * len(self.rows), ["low_quality"] * len(self.rows))
        self.served("confidence")
        self.served("rule_confidence")

    def served(self, column: str) -> None:
        found = self.connection.execute(f"select id::text, {column}::float8 from pattern_events".encode()).fetchall()
        expected: dict[str, Any] = {pattern: pytest.approx(row.given, abs=1e-14) for pattern, row in self.rows.items()}
        wrong = {pattern: value for pattern, value in found if value != expected[pattern]}
        assert wrong == {}, (self.seed, self.done, {pattern: expected[pattern] for pattern in wrong})


@pytest.mark.parametrize("seed", range(20))
def test_no_sequence_loses_what_the_application_gave(connection: Connection, seed: int) -> None:
    make_champion(connection, "small-1")
    storm = Storm(connection, seed)
    for _ in range(4):
        storm.do_insert()
    storm.run(60)
    storm.check()


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("variant", VARIANTS)
def test_nor_does_one_with_upgrades_and_downgrades(make_database: MakeDatabase, variant: str, seed: int) -> None:
    url = make_database(None)
    with psycopg.connect(url, autocommit=True) as connection:
        build(connection, variant)
        connection.execute("delete from pattern_lifecycle_history; delete from pattern_events where id::text > '05'")
        had, rows = _confidences(connection), _found(connection)
    assert len(had) > 5
    _upgraded(url)
    with psycopg.connect(url, autocommit=True) as connection:
        storm = Storm(connection, seed, dict(rows))
        storm.run(40)
        if seed % 2:
            storm.check()
        given = {pattern: row.given for pattern, row in storm.rows.items()}
    downgrade(url)
    with psycopg.connect(url, autocommit=True) as connection:
        expected = given | {pattern: had[pattern] for pattern, row in rows.items() if storm.rows[pattern] is row}
        undecided = {pattern for pattern, row in storm.rows.items() if row.rule_first}  # both are the application's
        found = {pattern: value for pattern, value in _confidences(connection).items() if pattern not in undecided}
        kept = {p: pytest.approx(value, abs=1e-14) for p, value in expected.items() if p not in undecided}
        assert found == kept, storm.done
        for pattern in list(had)[::2]:  # the older application goes on
            value = storm.draw.random()
            connection.execute("update pattern_events set confidence = %s where id = %s", [value, pattern])
        rows = _found(connection)
    _upgraded(url)
    with psycopg.connect(url, autocommit=True) as connection:
        again = Storm(connection, seed + 100, rows)
        again.run(20)
        again.check()


def _upgraded(url: str) -> None:
    upgrade(url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("update ml.settings set gate_pairs = 0")
        make_champion(connection, "small-1")


def _confidences(connection: Connection) -> dict[str, float | None]:
    return dict(connection.execute("select id::text, confidence from pattern_events").fetchall())


def _found(connection: Connection) -> dict[str, Row]:
    """An older script's rule confidence is the application's where it can be one, else the confidence is."""
    found = connection.execute(
        "select id::text, confidence, (to_jsonb(p) ->> 'rule_confidence')::float8 from pattern_events p"
    ).fetchall()
    return {
        pattern: Row(rule if rule is not None and 0 <= rule <= 1 else confidence) for pattern, confidence, rule in found
    }
