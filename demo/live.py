"""The live part of the demo: patterns go in at a steady rate, and what comes back is shown as it comes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, Final

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from db_functions.database import Connection
from demo.application import Pattern, insert_bars, insert_patterns
from demo.market import Series

REFRESH_S: Final = 0.5
_PLAIN_REFRESH_S: Final = 5.0
_ROWS_SHOWN: Final = 10

_LATENCY = """
    SELECT count(*) FILTER (WHERE scored_at IS NOT NULL),
           percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY prediction_latency_ms)
    FROM public.pattern_events WHERE detected_at > %s
"""
_COLUMNS = """
    SELECT detected_at, symbol, pattern_type, direction, rule_confidence, ml_confidence, confidence,
           ml_metadata ->> 'reason', prediction_latency_ms
    FROM public.pattern_events
"""
FIRST_ROW: Final = f"{_COLUMNS} ORDER BY detected_at, id LIMIT 1"
_LATEST = f"""
    {_COLUMNS}
    WHERE detected_at > %s AND scored_at IS NOT NULL
    ORDER BY scored_at DESC LIMIT %s
"""


class Display:
    """What a person sees meanwhile: a bar, latency so far and the latest rows; plain lines when not on a terminal."""

    def __init__(self, console: Console, conn: Connection, cutoff: datetime, total: int) -> None:
        self._console, self._conn, self._cutoff = console, conn, cutoff
        self._total, self._inserted = total, 0
        self._interval_s = REFRESH_S if console.is_terminal else _PLAIN_REFRESH_S
        self._next_refresh = time.monotonic() + self._interval_s
        self._progress = Progress(
            TextColumn("inserted"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[day]}"),
        )
        self._task = self._progress.add_task("insert", total=total, day="")
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None

    def __enter__(self) -> Display:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.refresh()
        if self._live:
            self._live.stop()

    def inserted(self, pattern: Pattern) -> None:
        """One more row is in; refreshes when it is time to."""
        self._inserted += 1
        self._progress.update(self._task, completed=self._inserted, day=f"{pattern.detected_at:%Y-%m-%d}")
        if time.monotonic() >= self._next_refresh:
            self.refresh()

    def refresh(self) -> None:
        """Ask the database how far it is, and show it."""
        self._next_refresh = time.monotonic() + self._interval_s
        row = self._conn.execute(_LATENCY, [self._cutoff]).fetchone()
        scored, percentiles = row or (0, None)
        line = f"scored {scored} of {self._inserted} inserted ({self._total} to come in all)"
        if percentiles:
            line += "; insert to score p50 {:.1f}, p95 {:.1f}, p99 {:.1f} ms".format(*percentiles)
        if self._live:
            latest = self._conn.execute(_LATEST, [self._cutoff, _ROWS_SHOWN]).fetchall()
            self._live.update(Group(self._progress, line, rows_table(latest)), refresh=True)
        else:
            self._console.print(line)


def rows_table(rows: Iterable[Sequence[Any]]) -> Table:
    """Scored rows as a person reads them; the columns are those of the query that shows the latest."""
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for name in ("detected", "symbol", "pattern", "", "rule", "ML", "confidence", "why", "ms"):
        table.add_column(name, justify="right" if name in {"rule", "ML", "confidence", "ms"} else "left")
    for at, symbol, kind, direction, rule, ml, confidence, reason, ms in rows:
        table.add_row(
            f"{at.astimezone(UTC):%Y-%m-%d}",
            symbol,
            kind,
            {1: "[green]up[/]", -1: "[red]down[/]"}.get(direction, ""),
            *("" if value is None else f"{value:.3f}" for value in (rule, ml)),
            "" if confidence is None else f"[bold]{confidence:.3f}[/]",
            "[cyan]blend[/]" if reason == "scored" else str(reason),
            "" if ms is None else f"{ms:.1f}",
        )
    return table


def stream(
    conn: Connection,
    series: Mapping[str, Series],
    patterns: Sequence[Pattern],
    cutoff: datetime,
    rate_per_s: float,
    inserted: Callable[[Pattern], None],
) -> float:
    """Insert ``patterns`` one transaction each at ``rate_per_s``, every day's bars before that day's patterns.

    ``conn`` is in autocommit mode. No bar goes in before its day has come, so nothing could look ahead if it tried.
    Falling behind shifts the schedule; it never bursts to catch up. Returns the rate that was reached.
    """
    waiting = {symbol: one.after(int(cutoff.timestamp())) for symbol, one in series.items()}
    started = due = time.monotonic()
    for day, found in groupby(patterns, key=lambda pattern: pattern.detected_at):
        waiting = _insert_bars_until(conn, waiting, day)
        for pattern in found:
            time.sleep(max(0.0, due - time.monotonic()))
            insert_patterns(conn, [pattern])
            due = max(due, time.monotonic() - 1 / rate_per_s) + 1 / rate_per_s
            inserted(pattern)
    elapsed = time.monotonic() - started
    _insert_bars_until(conn, waiting, datetime.max.replace(tzinfo=UTC))
    return len(patterns) / elapsed if elapsed > 0 else 0.0


def _insert_bars_until(conn: Connection, waiting: Mapping[str, Series], day: datetime) -> dict[str, Series]:
    """Insert the bars complete at ``day`` in one transaction; returns those that still wait."""
    now = int(day.timestamp())
    with conn.transaction():
        for one in waiting.values():
            ready = one.until(now)
            if len(ready):
                insert_bars(conn, ready)
    return {symbol: one.after(now) for symbol, one in waiting.items()}
