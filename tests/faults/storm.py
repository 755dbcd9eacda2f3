"""A storm: operations of applications, analysts, operators, publishers and strangers, drawn at random, beside the load.

Each is an ordinary day in somebody's database. Some are refused, which is fine and counted; none may lose a row, score
one twice, serve another model than the champion, or change what an application gave. :mod:`tests.faults.storm_books`
asks at the end.
"""

from __future__ import annotations

import os
import random
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, NamedTuple
from unittest import mock
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

from db_functions.bulk.driver import How
from db_functions.database import Connection
from tests.faults import storm_books
from tests.faults.fleet import login, proven
from tests.faults.harness import Run, Scenario
from tests.faults.writers import SERIES, Promised, Promises
from tests.support import START, register
from tests.worker_support import poison_model
from worker.operating.backfill import Selection, backfill

STRANGER = "fault_stranger"
MODELS: Final = ("faulty-rows", "storm-a", "storm-b", "storm-c")
_SQLSTATES: Final = ("P0001", "P0004", "42501", "0A000", "XX000", "55000", "40001", "40P01", "55P03", "25006", "57014")
_HOSTILE: Final = (
    ("default_transaction_isolation", "repeatable read"),
    ("default_transaction_isolation", "serializable"),
    ("default_transaction_read_only", "on"),
    ("default_transaction_deferrable", "on"),
    ("search_path", "nowhere"),
    ("DateStyle", "SQL, DMY"),
    ("TimeZone", "Asia/Kathmandu"),
    ("IntervalStyle", "sql_standard"),
    ("statement_timeout", "300ms"),
    ("lock_timeout", "50ms"),
    ("idle_in_transaction_session_timeout", "1s"),
    ("standard_conforming_strings", "off"),
    ("bytea_output", "escape"),
    ("extra_float_digits", "-10"),
    ("row_security", "off"),
    ("plan_cache_mode", "force_custom_plan"),
    ("enable_indexscan", "off"),
)
_LOAD: Final = """
insert into pattern_events (id, symbol, timeframe, pattern_type, detected_at, direction, entry, stoploss, target,
                            confidence, metadata)
select i, s, '1d', 'double_bottom', d, 1, 100, 95, 110, c, m
from unnest(%s::uuid[], %s::text[], %s::timestamptz[], %s::float8[], %s::jsonb[]) as g (i, s, d, c, m)
"""


class _Row(NamedTuple):
    """What :data:`_LOAD` takes."""

    id: UUID
    symbol: str
    detected_at: datetime
    confidence: float
    metadata: Jsonb


@dataclass
class Storm(Scenario):
    """What the storm has done, as far as the books have to know."""

    deleted: set[UUID] = field(default_factory=set)
    rewritten: dict[UUID, float] = field(default_factory=dict)
    """What applications gave later, by row."""
    own: dict[UUID, Promised] = field(default_factory=dict)
    """Rows that the storm itself has inserted."""
    _held: list[tuple[float, Connection]] = field(default_factory=list)
    """Transactions that stay open until a moment."""

    def step(self, this: Run) -> None:
        """One operation; what is refused is counted, not an error."""
        self._let_go(time.monotonic())
        operation = this.rng.choices(list(OPERATIONS), weights=list(OPERATIONS.values()))[0]
        name = operation.__name__
        try:
            operation(self, this)
            this.report.faults[name] += 1
        except psycopg.Error as error:
            this.report.faults[f"{name}: {error.sqlstate or 'lost'}"] += 1
        time.sleep(this.rng.uniform(0.0, 0.1))

    def finish(self, this: Run) -> None:
        """Calm: everything that stood in the way is taken away, and what waited for that is asked for again."""
        self._let_go(float("inf"))
        this.ask(lambda connection: connection.execute("drop trigger if exists storm_refuse on pattern_events"))
        for place in range(this.plan.workers):
            _execute(this, f"alter role {login(place)} reset all")
        this.ask(lambda connection: connection.execute("select ml.enable('calm')"))
        this.ask(lambda connection: connection.execute("select pg_terminate_backend(pid) from pg_stat_activity "
                                                       "where usename like 'fault_worker_%'"))  # fmt: skip
        refused = [key for key, promised in self.own.items() if promised.fate == "refused"]
        this.ask(
            lambda connection: connection.execute(
                "select ml.redrive(failures => array(select f.id from ml.failures f where f.redriven_at is null "
                "and f.pattern_id = any (%s)))",
                [refused],
            )
        )
        self._backfill(this)

    def balance(self, connection: Connection, promises: Promises) -> tuple[dict[str, int], list[str]]:
        return storm_books.balance(connection, promises, self.own, self.rewritten, self.deleted)

    # Applications

    def rewrite(self, this: Run) -> None:
        """Another rule confidence, under either name, for some rows."""
        column = this.rng.choice(("confidence", "rule_confidence"))
        given = {key: round(this.rng.uniform(0.3, 0.9), 6) for key in self._some(this, 5)}
        changed = _execute(
            this,
            f"update pattern_events p set {column} = g.c from unnest(%s::uuid[], %s::float8[]) g (i, c) "
            f"where p.id = g.i and g.c is distinct from p.{column} returning p.id",
            [list(given), list(given.values())],
        )
        self.rewritten |= {row[0]: given[row[0]] for row in changed}

    def annotate(self, this: Run) -> None:
        """Columns that are the application's alone."""
        _execute(
            this,
            "update pattern_events set metadata = coalesce(metadata, '{}') || %s, updated_at = now() "
            "where id = any (%s) returning id",
            [Jsonb({"seen": this.rng.random()}), self._some(this, 10)],
        )

    def delete(self, this: Run) -> None:
        """Some rows, scored or not."""
        gone = _execute(this, "delete from pattern_events where id = any (%s) returning id", [self._some(this, 3)])
        self.deleted |= {row[0] for row in gone}

    def hold_rows(self, this: Run) -> None:
        """A transaction that locks some patterns and stays open for a while."""
        some = self._some(this, 5)
        self._hold(this, "select from pattern_events where id = any (%s) for update", [some])

    def hold_a_number(self, this: Run) -> None:
        """A writing transaction elsewhere in the database that stays open for a while."""
        self._hold(this, "insert into storm_notes values ('held')", [])

    def correct_bars(self, this: Run) -> None:
        """Bars of one series, corrected, or taken out and put back."""
        symbol = this.rng.choice(SERIES)
        if this.rng.random() < 0.5:
            _execute(
                this,
                "update price_bars set close = close, volume = volume + 1 where symbol = %s returning symbol",
                [symbol],
            )
        else:
            _execute(
                this,
                "with gone as (delete from price_bars where symbol = %s and ts > %s returning *) "
                "insert into storm_bars select * from gone returning symbol",
                [symbol, START + timedelta(days=180)],
            )
            _execute(
                this,
                "with back as (delete from storm_bars returning *) "
                "insert into price_bars select * from back on conflict do nothing returning symbol",
            )

    def load_past_triggers(self, this: Run) -> None:
        """Rows of a bulk load with triggers off; a backfill is what the documents say next."""
        rows = self._rows(this.rng, 20, {})
        with psycopg.connect(this.server.url(this.database)) as connection:
            connection.execute("set session_replication_role = replica")
            connection.execute(_LOAD, _columns(rows))
        self.own |= {row.id: Promised("scored", row.confidence) for row in rows}
        if this.rng.random() < 0.5:
            self._backfill(this)

    def insert_closed(self, this: Run) -> None:
        """Rows that an application's trigger will not let anybody update, while there is one."""
        rows = self._rows(this.rng, 3, {"closed": True})
        with psycopg.connect(this.server.url(this.database)) as connection:
            connection.execute(_LOAD, _columns(rows))
        self.own |= {row.id: Promised("refused", row.confidence) for row in rows}

    def refuse_updates(self, this: Run) -> None:
        """``closed patterns are immutable``, with any SQLSTATE that a trigger may raise."""
        state = this.rng.choice(_SQLSTATES)
        _execute(
            this,
            "create or replace function storm_refuse() returns trigger language plpgsql as "
            f"$$ begin raise exception 'closed patterns are immutable' using errcode = '{state}'; end $$",
        )
        _execute(
            this,
            "create or replace trigger storm_refuse before update on pattern_events for each row "
            "when (old.metadata ? 'closed') execute function storm_refuse()",
        )

    def allow_updates(self, this: Run) -> None:
        """The trigger goes again."""
        _execute(this, "drop trigger if exists storm_refuse on pattern_events")

    # Analysts

    def read_views(self, this: Run) -> None:
        """Every view of the menu."""
        views = _execute(
            this, "select format('%I.%I', schemaname, viewname) from pg_views where schemaname = 'ml' order by 1"
        )
        _execute(this, f"select count(*) from {this.rng.choice(views)[0]}")

    def label(self, this: Run) -> None:
        """By hand, and back."""
        outcome = this.rng.choice(("positive", "negative", "neutral", None))
        for key in self._some(this, 4):
            _execute(this, "select ml.label(%s, %s, 'storm')", [key, outcome])

    def label_outcomes(self, this: Run) -> None:
        """By the bars."""
        _execute(this, "select ml.label_outcomes()")

    # Operators

    def switch(self, this: Run) -> None:
        """ML off and on."""
        _execute(this, f"select ml.{this.rng.choice(('disable', 'enable'))}('storm')")

    def set(self, this: Run) -> None:
        """A setting that decides what is served."""
        name, values = this.rng.choice(
            [
                ("threshold", ("0", "0.5", "0.7")),
                ("ml_weight", ("0.6", "1", "0.3")),
                ("rule_weight", ("0.4", "0")),
                ("weights", ("learned", "fixed")),
                ("doorbell", ("on", "off")),
                ("announce", ("on", "off")),
            ]
        )
        _execute(this, "select ml.set(%s, %s::text, 'storm')", [name, this.rng.choice(values)])

    def reblend(self, this: Run) -> None:
        """Stored rows with the settings of now."""
        _execute(this, "select * from ml.reblend('storm', false, max_rows => 200)")

    def promote(self, this: Run) -> None:
        """Any model, by force."""
        _execute(this, "select ml.promote(%s, 'storm', force => true)", [this.rng.choice(MODELS)])

    def rollback(self, this: Run) -> None:
        """To the champion before."""
        _execute(this, "select ml.rollback('storm')")

    def challenge(self, this: Run) -> None:
        """With a canary, or its end."""
        share = this.rng.choice((0.0, 0.5, 1.0))
        _execute(
            this,
            "select ml.challenge(%s, %s, %s, 'storm')",
            [this.rng.choice(MODELS), share, share * this.rng.choice((0.0, 0.5))],
        )

    def upkeep(self, this: Run) -> None:
        """Tasks of upkeep, while the workers do them too."""
        task = this.rng.choice(("ml_internal.fold()", "ml_internal.make_partitions()", "ml_internal.check_alerts()"))
        _execute(this, f"select {task}")

    def maintain(self, this: Run) -> None:
        """What a database administrator runs by night."""
        _execute(
            this,
            this.rng.choice(
                (
                    "vacuum (freeze) pattern_events",
                    "vacuum (freeze, analyze) ml.queue",
                    "analyze pattern_events",
                    "reindex table concurrently ml.queue",
                    "vacuum (freeze) ml.predictions",
                    "create index concurrently if not exists storm_by_status on pattern_events (status)",
                    "drop index concurrently if exists storm_by_status",
                    "alter table pattern_events add column if not exists storm_column text",
                    "alter table pattern_events drop column if exists storm_column",
                    "checkpoint",
                )
            ),
        )

    def hostile_defaults(self, this: Run) -> None:
        """Defaults of a role that are nobody's fault, from the next connection on."""
        name, value = this.rng.choice(_HOSTILE)
        place = this.rng.randrange(this.plan.workers)
        _execute(this, f"alter role {login(place)} set {name} = '{value}'")
        if this.rng.random() < 0.5:
            self.end_backends(this)

    def ordinary_defaults(self, this: Run) -> None:
        """And back."""
        _execute(this, f"alter role {login(this.rng.randrange(this.plan.workers))} reset all")

    def end_backends(self, this: Run) -> None:
        """One of the workers' backends, by chance."""
        _execute(
            this,
            "select pg_terminate_backend(pid) from (select pid from pg_stat_activity "
            "where usename like 'fault_worker_%%' order by md5(pid::text || %s) limit 1) victim",
            [str(this.rng.random())],
        )

    def kill_worker(self, this: Run) -> None:
        """One that has scored."""
        able = sorted(this.fleet.pids().keys() & this.ask(proven))
        if able:
            this.fleet.kill(this.rng.choice(able))

    # Publishers

    def publish(self, this: Run) -> None:
        """The parity of a model once more, or a baseline from rows that were served."""
        _execute(this, "select ml_internal.record_parity(%s, 0, 1e-5, 8, 'storm')", [this.rng.choice(MODELS)])

    # Strangers, who may connect and no more

    def lock_names(self, this: Run) -> None:
        """Advisory locks on whatever somebody may have thought of."""
        connection = psycopg.connect(_as_stranger(this))
        for name in ("ml.champion", "ml_internal.fold", "ml.label_outcomes", "ml_internal.check_alerts"):
            connection.execute("select pg_try_advisory_lock(hashtext(%s))", [name])
        self._held.append((time.monotonic() + this.rng.uniform(0.1, 2.0), connection))

    def flood(self, this: Run) -> None:
        """Notifications that nobody wants."""
        with psycopg.connect(_as_stranger(this), autocommit=True) as connection:
            connection.execute(
                "select pg_notify(c, repeat('x', 4000) || n) from generate_series(1, 500) n, "
                "unnest(array['ml_queue', 'ml_scored', 'ml_model']) c"
            )

    # What operations share

    def prepare(self, this: Run) -> None:
        """What the storm needs besides a scenario's own things."""
        this.ask(lambda connection: connection.execute("create table storm_notes (note text)"))
        this.ask(lambda connection: connection.execute("create table storm_bars (like price_bars)"))
        for version in MODELS[1:]:
            this.ask(partial(register, version=version, data=poison_model(version)))
        this.ask(lambda connection: connection.execute(f"drop role if exists {STRANGER}"))
        this.ask(lambda connection: connection.execute(f"create role {STRANGER} login"))

    def clear(self, this: Run) -> None:
        """Roles are the cluster's."""
        self._let_go(float("inf"))
        this.ask(lambda connection: connection.execute(f"drop role if exists {STRANGER}"))

    def _some(self, this: Run, most: int) -> list[UUID]:
        found = _execute(
            this,
            "select id from pattern_events where id >= %s order by id limit %s",
            [UUID(int=this.rng.getrandbits(128)), this.rng.randint(1, most)],
        )
        return [row[0] for row in found]

    def _hold(self, this: Run, statement: str, parameters: list[object]) -> None:
        if len(self._held) < 5:
            connection = psycopg.connect(this.server.url(this.database), options="-c lock_timeout=200")
            self._held.append((time.monotonic() + this.rng.uniform(0.1, 3.0), connection))
            connection.execute(statement, parameters)

    def _let_go(self, now: float) -> None:
        for until, connection in self._held:
            if until <= now:
                connection.close()
        self._held = [(until, connection) for until, connection in self._held if until > now]

    def _rows(self, rng: random.Random, many: int, metadata: dict[str, object]) -> list[_Row]:
        return [
            _Row(
                UUID(int=rng.getrandbits(128), version=4),
                rng.choice(SERIES),
                START + timedelta(days=rng.randrange(140, 195)),
                round(rng.uniform(0.3, 0.9), 6),
                Jsonb(metadata),
            )
            for _ in range(many)
        ]

    def _backfill(self, this: Run) -> None:
        self._let_go(float("inf"))  # it waits for rows that are locked, and nobody else would let them go
        with mock.patch.dict(os.environ, DATABASE_URL=this.server.url(this.database)):
            backfill(Selection(), How())


def _columns(rows: list[_Row]) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _as_stranger(this: Run) -> str:
    return this.server.url(this.database).replace(f"//{this.server.user}@", f"//{STRANGER}@")


def _execute(this: Run, statement: str, parameters: list[object] | None = None) -> list[tuple[Any, ...]]:
    """Over the harness's connection, waiting for no lock for long."""

    def act(connection: Connection) -> list[tuple[Any, ...]]:
        connection.execute("set lock_timeout = '2s'; set statement_timeout = '20s'")
        cursor = connection.execute(statement, parameters)
        return cursor.fetchall() if cursor.description else []

    return this.ask(act)


OPERATIONS: Final = {
    Storm.rewrite: 6, Storm.annotate: 4, Storm.delete: 3, Storm.hold_rows: 3, Storm.hold_a_number: 2,
    Storm.correct_bars: 3, Storm.load_past_triggers: 1, Storm.insert_closed: 3, Storm.refuse_updates: 2,
    Storm.allow_updates: 1, Storm.read_views: 4, Storm.label: 4, Storm.label_outcomes: 1, Storm.switch: 2,
    Storm.set: 4, Storm.reblend: 2, Storm.promote: 4, Storm.rollback: 1, Storm.challenge: 3, Storm.upkeep: 3,
    Storm.maintain: 3, Storm.hostile_defaults: 3, Storm.ordinary_defaults: 1, Storm.end_backends: 1,
    Storm.kill_worker: 1, Storm.publish: 1, Storm.lock_names: 1, Storm.flood: 1,
}  # fmt: skip
