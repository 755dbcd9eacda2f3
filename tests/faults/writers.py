"""Applications under faults: they insert in every awkward way, and remember what was promised to them."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

import psycopg

from db_functions.database import Connection
from tests.support import START

SERIES = ("ACME", "BOLT", "CARD", "DUNE")
UNKNOWN = "NOBARS"
"""A symbol without bars: its rows fall back, and must say so."""
POISON = 0.111
"""The rule confidence on which the model raises."""
_INSERT = """
insert into pattern_events (id, symbol, timeframe, pattern_type, detected_at, entry, stoploss, target, confidence)
select i, s, '1d', 'double_bottom', d, 100, 95, 110, c
from unnest(%s::uuid[], %s::text[], %s::timestamptz[], %s::float8[]) as g (i, s, d, c)
"""


class Promised(NamedTuple):
    """What must become of a row, and the confidence that its application gave last."""

    fate: str
    confidence: float


Rows = dict[UUID, Promised]


@dataclass
class Promises:
    """What writers know, by row id."""

    committed: Rows = field(default_factory=dict)
    rolled_back: set[UUID] = field(default_factory=set)
    doubtful: list[Rows] = field(default_factory=list)
    """Transactions whose commit was not acknowledged: all of each or nothing."""
    lost_connections: int = 0

    def join(self, other: Promises) -> None:
        self.committed |= other.committed
        self.rolled_back |= other.rolled_back
        self.doubtful += other.doubtful
        self.lost_connections += other.lost_connections


class Writer(threading.Thread):
    """Inserts about ``rows`` rows within ``seconds``, over a connection that it makes again when it is lost."""

    def __init__(self, url: str, seed: int, rows: int, seconds: float, *, poison: float = 0.005) -> None:
        super().__init__(name=f"writer {seed}", daemon=True)
        self.promises = Promises()
        self.error: BaseException | None = None
        self._url, self._rows, self._seconds, self._poison = url, rows, seconds, poison
        self._random = random.Random(seed)
        self._inserted: Rows = {}
        """Of the transaction at hand."""

    def run(self) -> None:
        try:
            self._write()
        except BaseException as error:  # noqa: BLE001  # raised again by whoever joins
            self.error = error

    def _write(self) -> None:
        began = time.monotonic()
        connection: Connection | None = None
        done = 0
        while done < self._rows and time.monotonic() - began < self._seconds * 2:
            try:
                if connection is None or connection.closed:
                    connection = psycopg.connect(self._url, connect_timeout=5)
                done += self._transaction(connection, self._rows - done)
            except psycopg.OperationalError:
                self.promises.lost_connections += 1
                # Nothing was promised: the transaction ended with the connection, before its commit was sent.
                self.promises.rolled_back |= self._inserted.keys()
                if connection is not None:
                    connection.close()
                    connection = None
                time.sleep(self._random.uniform(0.02, 0.1))
            # On schedule, so that the load lasts as long as the faults do.
            time.sleep(max(0.0, began + self._seconds * done / self._rows - time.monotonic()))
        if connection is not None:
            connection.close()

    def _transaction(self, connection: Connection, most: int) -> int:
        kind = self._random.random()
        self._inserted = {}
        if kind < 0.15:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            # Its snapshot, and what it sees of the doorbell's settings, is older than its rows.
            connection.execute("select count(*) from ml.settings")
            time.sleep(self._random.uniform(0, 0.05))
        for _ in range(self._random.choice((1, 1, 1, 1, 2, 3))):
            self._insert(connection, self._random.choice((1, 1, 1, 1, 5, 40)), most)
        if self._random.random() < 0.1:
            self._savepoint(connection, most)
        if kind > 0.85:
            # Longer, now and then, than a worker keeps the bell muted.
            time.sleep(self._random.choice((0.002, 0.02, 0.1, 0.4)))
        return self._end(connection)

    def _insert(self, connection: Connection, count: int, most: int) -> None:
        rows = [self._row() for _ in range(min(count, max(1, most - len(self._inserted))))]
        self._inserted |= {row[0]: Promised(row[4], row[3]) for row in rows}
        connection.execute(_INSERT, [list(column) for column in zip(*(row[:4] for row in rows), strict=True)])

    def _savepoint(self, connection: Connection, most: int) -> None:
        before = dict(self._inserted)
        with connection.transaction(force_rollback=True):
            self._insert(connection, 2, most)
        self.promises.rolled_back |= self._inserted.keys() - before.keys()
        self._inserted = before

    def _row(self) -> tuple[UUID, str, object, float, str]:
        draw, key = self._random.random(), UUID(int=self._random.getrandbits(128), version=4)
        moment = START + timedelta(days=self._random.randrange(140, 195))
        symbol = UNKNOWN if draw > 0.98 else self._random.choice(SERIES)
        if draw < self._poison:
            return key, symbol, moment, POISON, "failed"
        confidence = round(self._random.uniform(0.3, 0.9), 6)
        return key, symbol, moment, confidence, "insufficient_bars" if symbol == UNKNOWN else "scored"

    def _end(self, connection: Connection) -> int:
        if self._random.random() < 0.1:
            connection.rollback()
            self.promises.rolled_back |= self._inserted.keys()
        else:
            try:
                connection.commit()
            except psycopg.OperationalError:
                self.promises.doubtful.append(self._inserted)
                self._inserted = {}
                raise
            self.promises.committed |= self._inserted
        connection.isolation_level = None
        done, self._inserted = len(self._inserted), {}
        return done
