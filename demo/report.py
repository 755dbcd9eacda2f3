"""What the demo says at the end: how fast, how blended, how good on the live rows, and where to look next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from psycopg.rows import class_row
from rich.console import Console
from rich.table import Table

from db_functions.database import Connection
from demo.live import rows_table
from demo.picture import write_picture
from demo.quality import (
    ANSWERS,
    BASE,
    EARLIER,
    FIRST_PASSAGE,
    ML,
    READ,
    RULE,
    Floats,
    Judged,
    earlier_system,
    half_width,
    print_quality,
)

_ROWS = """
    SELECT p.detected_at, p.symbol, p.pattern_type, p.direction, p.rule_confidence, p.ml_confidence, p.confidence,
           p.ml_metadata ->> 'source' AS source, p.ml_metadata ->> 'reason' AS reason, p.prediction_latency_ms,
           p.outcome_label, p.model_version,
           s.features[array_position(m.feature_names, 'first_passage_target_plain')] AS first_passage
    FROM public.pattern_events p
    LEFT JOIN ml.predictions s ON s.pattern_id = p.id AND s.scored_at = p.scored_at
    LEFT JOIN ml.models m ON m.id = s.model_id AND m.version = p.model_version
    WHERE p.detected_at > %s AND p.detected_at <= %s ORDER BY p.detected_at, p.id
"""
_BASE_RATE = """
    SELECT avg((outcome_label = 'positive')::int)::float8 FROM public.pattern_events WHERE outcome_at <= %s
"""
_SAMPLE = """
    SELECT detected_at, symbol, pattern_type, direction, rule_confidence, ml_confidence, confidence,
           ml_metadata ->> 'reason', prediction_latency_ms
    FROM (SELECT *, row_number() OVER (ORDER BY detected_at, id) AS n, count(*) OVER () AS total
          FROM public.pattern_events WHERE detected_at > %s AND scored_at IS NOT NULL) p
    WHERE n %% greatest(total / 8, 1) = 0 ORDER BY detected_at LIMIT 8
"""
_RELATION = "SELECT to_regclass(%s) IS NOT NULL"
_DISAGREEMENTS: Final = 8


@dataclass(frozen=True, slots=True)
class Row:
    """A live row, as an analyst would read it; ``first_passage`` is the plain one, recorded with its score."""

    detected_at: datetime
    symbol: str
    pattern_type: str
    direction: int
    rule_confidence: float | None
    ml_confidence: float | None
    confidence: float | None
    source: str
    reason: str
    prediction_latency_ms: float | None
    outcome_label: str | None
    first_passage: float | None
    model_version: str | None


def report(console: Console, conn: Connection, cutoff: datetime) -> None:
    """Print everything there is to say about the rows detected after ``cutoff``."""
    rows = _read(conn, since=cutoff, until=datetime.max.replace(tzinfo=UTC))
    _print_latency(console, conn, rows)
    console.print("\n[bold]A few of them[/], evenly spaced in time")
    console.print(rows_table(conn.execute(_SAMPLE, [cutoff]).fetchall()))
    _print_blending(console, conn, rows)
    _print_quality(console, rows, _base_rate(conn, cutoff))
    _print_disagreements(console, rows)
    _print_next(console, conn)


def print_cold_start(console: Console, conn: Connection, cutoff: datetime) -> None:
    """How good the scores of the history were, which were made before there was any label."""
    rows = _read(conn, since=datetime.min.replace(tzinfo=UTC), until=cutoff)
    base_rate = _base_rate(conn, cutoff)
    if base_rate is None:
        return
    judged = judge(rows, base_rate)
    difference = judged.brier(ML, minus=BASE)
    console.print(
        f"Scored before there was a label, the {len(judged):,} rows of the history have a Brier score of "
        f"[bold]{judged.brier(ML).value:.4f}[/]; their own base rate, known only now, {judged.brier(BASE).value:.4f} "
        f"(difference {difference.value:+.4f} ± {half_width(difference):.4f}); the rule {judged.brier(RULE).value:.4f}."
    )


def _read(conn: Connection, since: datetime, until: datetime) -> list[Row]:
    """The rows detected after ``since``, up to ``until``."""
    with conn.cursor(row_factory=class_row(Row)) as cursor:
        return cursor.execute(_ROWS, [since, until]).fetchall()


def _base_rate(conn: Connection, cutoff: datetime) -> float | None:
    """The share of positive outcomes among those known at ``cutoff``."""
    row = conn.execute(_BASE_RATE, [cutoff]).fetchone()
    return row[0] if row else None


def _column(rows: Sequence[Row], value: Callable[[Row], float | None]) -> Floats:
    """One number of each row [N], NaN for null."""
    return np.array([value(row) for row in rows], dtype=np.float64)


def _hit(row: Row) -> float | None:
    return None if row.outcome_label is None else float(row.outcome_label == "positive")


def _print_quality(console: Console, rows: Sequence[Row], base_rate: float | None) -> None:
    known = [row for row in rows if row.outcome_label is not None and row.ml_confidence is not None]
    if base_rate is None or not known:
        console.print("\nNo live row has both a score and an outcome: there is nothing to judge.")
        return
    judged = judge(known, base_rate)
    console.print(
        f"\n[bold]How good[/], on the {len(judged):,} live rows with an outcome (the newest still wait for theirs), "
        f"{judged.hit.mean():.1%} of them positive; the history had {base_rate:.1%}."
    )
    print_quality(console, judged)
    console.print(
        "First passage is arithmetic: the chance that a walk without drift, as volatile as the stock was of late, "
        "reaches the target before the stop. The plain one is the textbook's; models start from one with three "
        "corrections. Knowing it is no edge: under such a walk every pair of levels earns nothing before costs. A "
        "model is worth its training where it is better than that line. The earlier system blended 0.6 ML and 0.4 "
        "rule where ML said 0.55 or more, and left the rule alone elsewhere."
    )
    console.print(f"The same as a picture: {write_picture(judged)}")


def judge(rows: Sequence[Row], base_rate: float) -> Judged:
    """Every answer to ``rows``; first passage is left out where no score recorded it."""
    ml, rule = (_column(rows, value) for value in (lambda row: row.ml_confidence, lambda row: row.rule_confidence))
    answers = {
        BASE: np.full(len(rows), base_rate),
        RULE: rule,
        FIRST_PASSAGE: _column(rows, lambda row: row.first_passage),
        ML: ml,
        EARLIER: earlier_system(ml, rule),
        READ: _column(rows, lambda row: row.confidence),
    }
    shown = {name: answers[name] for name in ANSWERS if np.isfinite(answers[name]).any()}
    return Judged.of(shown, _column(rows, _hit), _column(rows, lambda row: row.detected_at.timestamp()))


def _print_latency(console: Console, conn: Connection, rows: Sequence[Row]) -> None:
    row = conn.execute("SELECT sla_ms FROM ml.settings").fetchone()
    assert row is not None
    sla_ms = row[0]
    latency_ms = _column(rows, lambda one: one.prediction_latency_ms)
    measured = latency_ms[np.isfinite(latency_ms)]
    if not len(measured):
        console.print("No live row was scored.")
        return
    p50, p95, p99 = np.percentile(measured, [50, 95, 99])
    console.print(
        f"[bold]Insert to score[/], by the database's clock, {len(measured):,} of {len(rows):,} live rows: "
        f"p50 [bold]{p50:.1f}[/], p95 [bold]{p95:.1f}[/], p99 [bold]{p99:.1f}[/], max {measured.max():.1f} ms; "
        f"{(measured <= sla_ms).mean():.1%} within the {sla_ms:g} ms of the service level.",
    )


def _print_blending(console: Console, conn: Connection, rows: Sequence[Row]) -> None:
    settings = conn.execute("SELECT threshold, ml_weight, rule_weight FROM ml.settings").fetchone()
    assert settings is not None
    threshold, ml_weight, rule_weight = settings
    reasons = Counter((row.source, row.reason) for row in rows).most_common()
    blended = sum(row.source == "blend" for row in rows)
    console.print(
        f"\n[bold]Blended[/]: [bold]{blended / max(1, len(rows)):.1%}[/] of the live rows, {ml_weight:g} ML + "
        f"{rule_weight:g} rule at a threshold of {threshold:g}. The rows say why: "
        + ", ".join(f"{count:,} {source} ({reason})" for (source, reason), count in reasons)
        + ". Scored by "
        + ", ".join(sorted({row.model_version for row in rows if row.model_version}))
        + "."
    )


def _print_disagreements(console: Console, rows: Sequence[Row]) -> None:
    """The rows on which rule and ML differ most, and what came of them; then the same for a tenth of all rows."""
    known = [
        (row, row.rule_confidence, row.ml_confidence)
        for row in rows
        if row.rule_confidence is not None and row.ml_confidence is not None and row.outcome_label is not None
    ]
    known.sort(key=lambda one: -abs(one[1] - one[2]))
    if not known:
        return
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for name in ("detected", "symbol", "pattern", "", "rule", "ML", "outcome"):
        table.add_column(name, justify="right" if name in {"rule", "ML"} else "left")
    for row, rule, ml in known[:_DISAGREEMENTS]:
        side = {1: "[green]up[/]", -1: "[red]down[/]"}.get(row.direction, "")
        day = f"{row.detected_at.astimezone(UTC):%Y-%m-%d}"
        table.add_row(day, row.symbol, row.pattern_type, side, f"{rule:.3f}", f"{ml:.3f}", row.outcome_label)
    tenth = known[: max(1, len(known) // 10)]
    rule_mean, ml_mean, came = np.mean(
        [(rule, ml, row.outcome_label == "positive") for row, rule, ml in tenth], axis=0
    ).tolist()
    console.print("\n[bold]Where rule and ML disagree most[/], and what came of it")
    console.print(table)
    console.print(
        f"Over the tenth of the rows on which they differ most ({len(tenth):,}) the rule said {rule_mean:.1%}, "
        f"ML {ml_mean:.1%}; {came:.1%} were positive."
    )


def _print_next(console: Console, conn: Connection) -> None:
    console.print("\n[bold]What to look at next[/]: `.venv/bin/python -m demo psql`, then paste")
    for relation, statement in _NEXT:
        row: tuple[Any, ...] | None = conn.execute(_RELATION, [relation]).fetchone()
        if row and row[0]:
            console.print(f"  {statement}", soft_wrap=True, markup=False)


_NEXT: Final = (
    ("public.pattern_events", r"select * from pattern_events order by detected_at desc limit 1 \gx"),
    ("ml.models", r"select version, algorithm, created_at, metrics from ml.models \gx"),
    ("ml.model_timeline", "select * from ml.model_timeline;"),
    ("ml.settings", "select ml.set('ml_weight', 0.6, 'as the earlier system');   -- fixed from then on"),
    ("ml.settings_history", "select * from ml.settings_history;"),
    ("ml.predictions", r"select * from ml.predictions order by scored_at desc limit 1 \gx"),
    ("ml.workers", "select * from ml.workers;"),
    ("ml.health", "select * from ml.health;"),
    (
        "ml.alerts",
        "select type, message from ml.alerts;   -- its worker has ended, its history waited long",
    ),
    ("ml.calibration", "select * from ml.calibration;"),
    ("ml.feature_drift", "select * from ml.feature_drift limit 20;"),
)
"""Statements with the relation each needs; those of a relation that is not there are left out."""
