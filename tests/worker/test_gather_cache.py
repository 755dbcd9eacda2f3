"""Series kept in memory: whatever is written, and in whatever order it commits, they equal what a fresh read gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from datetime import timedelta

import numpy as np
import psycopg
import pytest

from db_functions import bars as bars_module
from db_functions.bars import NO_LIMIT, BarStore
from db_functions.contract import WINDOW
from db_functions.database import Connection
from db_functions.gather import Gatherer, Pattern
from tests.support import START, at, insert_bars, random_bars

pytestmark = pytest.mark.compat

LAG_US = 86_400_000_000
SYMBOLS = ("ACME", "BOLT", "CORE", "NONE")


def pattern(symbol: str, detected_at_us: int) -> Pattern:
    levels = (None, None, None, None, None)
    return Pattern("", symbol, "1d", "flag", detected_at_us, None, 1, *levels, 0.5, None)


def us(day: float) -> int:
    return int((START.timestamp() + day * 86_400) * 1_000_000)


def inputs(store: BarStore, reader: Connection, rows: list[Pattern], benchmark: str | None) -> Mapping[str, bytes]:
    with reader.transaction():
        result = Gatherer(store).gather(
            reader, rows, benchmark=benchmark, history_lag_us=LAG_US, history=np.zeros((len(rows), 2))
        )
    return {name: result.inputs[name].tobytes() for name in ("bars", "market_bars")}


def assert_fresh(store: BarStore, reader: Connection, rows: list[Pattern], benchmark: str | None, what: str) -> None:
    kept = inputs(store, reader, rows, benchmark)
    assert kept == inputs(BarStore(), reader, rows, benchmark), what


@pytest.fixture
def writers(database: str) -> Iterator[list[Connection]]:
    with ExitStack() as stack:
        yield [stack.enter_context(psycopg.connect(database)) for _ in range(2)]


class Writer:
    """Random changes on days of its own (so that two never wait for each other), committed when it likes."""

    def __init__(self, connection: Connection, parity: int, rng: np.random.Generator) -> None:
        self.connection = connection
        self._parity = parity
        self._rng = rng
        self.changed = False

    def write(self) -> str:
        rng, self.changed = self._rng, True
        symbol = str(rng.choice(SYMBOLS[:3]))
        day = int(rng.integers(0, 130)) * 2 + self._parity
        ts = at(day) + timedelta(hours=6 * int(rng.integers(0, 2)))
        kind = str(rng.choice(["insert", "insert", "update", "delete", "move", "many"]))
        price = float(rng.uniform(50, 150))
        if kind == "insert":
            self._insert(symbol, [ts], price)
        elif kind == "many":
            self._insert(symbol, [at(day + 2 * k) for k in range(10)], price)
        elif kind == "update":
            self.connection.execute(
                "update price_bars set volume = %s where symbol = %s and ts = %s", [price, symbol, ts]
            )
        elif kind == "move":
            self.connection.execute(
                "update price_bars set ts = ts + interval '1 hour' where symbol = %s and ts = %s", [symbol, ts]
            )
        else:
            self.connection.execute("delete from price_bars where symbol = %s and ts = %s", [symbol, ts])
        return f"{kind} {symbol} {ts}"

    def end(self) -> str:
        self.changed = False
        if self._rng.random() < 0.2:
            self.connection.rollback()
            return "rollback"
        self.connection.commit()
        return "commit"

    def _insert(self, symbol: str, moments: list[object], price: float) -> None:
        with self.connection.cursor() as cursor:
            cursor.executemany(
                "insert into price_bars values (%s, '1d', %s, %s, %s, %s, %s, 1) "
                "on conflict (symbol, timeframe, ts) do update set close = excluded.close, "
                "low = least(price_bars.low, excluded.low), high = greatest(price_bars.high, excluded.high)",
                [(symbol, ts, price, price, price, price) for ts in moments],
            )


@pytest.mark.parametrize("seed", range(2))
def test_what_is_kept_equals_what_is_read(
    connection: Connection, writers: list[Connection], monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(bars_module, "_AHEAD", 7)
    rng = np.random.default_rng(seed)
    for k, symbol in enumerate(SYMBOLS[:3]):
        insert_bars(connection, random_bars(180, k), symbol=symbol)
    # The first store has to let go of series all the time.
    stores = [BarStore(max_bars=300), BarStore()]
    two = [Writer(writer, parity, rng) for parity, writer in enumerate(writers)]
    log: list[str] = []
    for step in range(100):
        k = int(rng.integers(0, 2))
        log.append(f"{k}: {two[k].end() if two[k].changed and rng.random() < 0.4 else two[k].write()}")
        if step % 33 == 32:
            for writer in two:
                writer.end()
            if rng.random() < 0.5:
                connection.execute("truncate price_bars")
                log.append("truncate")
        if rng.random() < 0.6:
            rows = [
                pattern(str(rng.choice(SYMBOLS)), us(float(rng.uniform(-10, 290))))
                for _ in range(int(rng.integers(1, 6)))
            ]
            benchmark = str(rng.choice([*SYMBOLS, ""])) or None
            for store in stores:
                assert_fresh(store, connection, rows, benchmark, "\n".join(log[-12:]))
    assert stores[1].hits > 0, "nothing was ever kept"


def test_a_change_that_commits_late_is_seen(connection: Connection, writers: list[Connection]) -> None:
    """The log's ids become visible out of order: who remembers only the highest one misses the early writer."""
    insert_bars(connection)
    store, rows = BarStore(), [pattern("ACME", us(150))]
    early, late = writers
    early.execute("update price_bars set volume = 1 where ts = %s", [at(140)])
    late.execute("update price_bars set volume = 2 where ts = %s", [at(141)])
    assert_fresh(store, connection, rows, None, "before")
    late.commit()
    assert_fresh(store, connection, rows, None, "the later writer")
    assert_fresh(store, connection, rows, None, "again, with the early one still open")
    early.commit()
    assert_fresh(store, connection, rows, None, "the early writer")


def test_a_long_transaction_does_not_read_its_series_anew_each_time(
    connection: Connection, writers: list[Connection]
) -> None:
    """Changes already acted upon are not acted upon again while an old transaction holds the horizon back."""
    insert_bars(connection)
    store, rows = BarStore(), [pattern("ACME", us(150))]
    writers[0].execute("select pg_current_xact_id()")
    inputs(store, connection, rows, None)
    connection.execute("update price_bars set volume = 2 where ts = %s", [at(10)])
    inputs(store, connection, rows, None)
    inputs(store, connection, rows, None)
    misses = store.misses
    for _ in range(5):
        inputs(store, connection, rows, None)
    assert store.misses == misses


def test_hits_and_misses(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bars_module, "_AHEAD", 10)
    insert_bars(connection, random_bars(500))
    store = BarStore()

    def ask(*days: float, symbol: str = "ACME") -> tuple[int, int]:
        before = store.hits, store.misses
        assert_fresh(store, connection, [pattern(symbol, us(day)) for day in days], None, str(days))
        return store.hits - before[0], store.misses - before[1]

    assert ask(150) == (0, 1)
    assert ask(150, 155, 160) == (1, 0)
    assert ask(185) == (1, 0), "a little beyond what was read ahead"
    assert ask(450) == (0, 1), "far beyond: the window begins anew"
    assert ask(451, 700) == (1, 0), "only newer bars were missing"
    assert ask(10_000) == (1, 0), "the end of the series is known"
    assert ask(149) == (0, 1), "earlier than what is kept"
    assert ask(150, 700) == (1, 0)
    insert_bars(connection, random_bars(1, 5), days=[800])
    assert ask(150) == (1, 0), "a new bar at the end leaves the rest alone"
    assert ask(800) == (1, 0), "and is read on from there"
    insert_bars(connection, random_bars(1, 6), days=[801])
    assert ask(801) == (1, 0), "a pattern on a bar that came with it"
    insert_bars(connection, random_bars(1, 5), days=[-1])
    assert ask(150) == (0, 1), "a bar before all others does not"


def test_reading_ahead_goes_on_until_the_last_moment_is_served(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bars_module, "_AHEAD", 3)
    insert_bars(connection)
    store = BarStore()
    rows = [pattern("ACME", us(day)) for day in (130, 131.5, 175, 199, 250)]
    assert_fresh(store, connection, rows, None, "one long span")
    with connection.transaction():
        store.refresh(connection)
        series = store.get(connection, {("ACME", "1d"): (us(130), us(250))})["ACME", "1d"]
    assert series.until == NO_LIMIT
    assert len(series.ts) == 199 - 130 + WINDOW + 1
    assert (np.diff(series.ts) > 0).all()


def test_eviction_keeps_what_was_used_last(connection: Connection) -> None:
    for k, symbol in enumerate(SYMBOLS[:3]):
        insert_bars(connection, random_bars(200, k), symbol=symbol)
    weight = 200 - 150 + WINDOW + 16
    store = BarStore(max_bars=2 * weight)

    def ask(symbol: str) -> bool:
        misses = store.misses
        assert_fresh(store, connection, [pattern(symbol, us(150))], None, symbol)
        return store.misses == misses

    assert [ask("ACME"), ask("BOLT"), ask("ACME"), ask("CORE")] == [False, False, True, False]
    assert ask("ACME"), "used later than BOLT"
    assert ask("CORE")
    assert not ask("BOLT"), "the one used longest ago had to go"


def test_a_batch_larger_than_the_store_is_served(connection: Connection) -> None:
    for k, symbol in enumerate(SYMBOLS[:3]):
        insert_bars(connection, random_bars(200, k), symbol=symbol)
    store = BarStore(max_bars=1)
    rows = [pattern(symbol, us(150)) for symbol in SYMBOLS]
    assert_fresh(store, connection, rows, "BOLT", "all at once")
    assert_fresh(store, connection, rows, "ACME", "again")


def test_a_symbol_without_bars_is_remembered_until_it_has_some(connection: Connection) -> None:
    store, rows = BarStore(), [pattern("ACME", us(150))]
    for _ in range(3):
        assert_fresh(store, connection, rows, None, "nothing there")
    assert (store.hits, store.misses) == (2, 1)
    insert_bars(connection)
    assert_fresh(store, connection, rows, None, "bars have come")
    assert store.misses == 2
    connection.execute("truncate price_bars")
    assert_fresh(store, connection, rows, None, "and gone")


def test_forgetting_reads_anew(connection: Connection) -> None:
    insert_bars(connection)
    store, rows = BarStore(), [pattern("ACME", us(150))]
    assert_fresh(store, connection, rows, None, "first")
    # As if another server had taken over: a change that its log does not show.
    connection.execute("update price_bars set volume = 5 where ts = %s", [at(150)])
    connection.execute("delete from ml_internal.bar_changes")
    store.forget()
    assert_fresh(store, connection, rows, None, "after the connection was lost")
