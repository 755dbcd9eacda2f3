"""What the demo says at the end: how fast, how blended, how good on the live rows, and where to look next."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
from rich.console import Console

from db_functions.database import Connection
from demo.live import rows_table
from demo.quality import BASE, BLEND, CONTROL, EFFECTIVE, ML, RULE, Floats, print_quality

_LIVE = """
    SELECT rule_confidence, ml_confidence, blended_confidence, confidence, prediction_latency_ms,
           extract(epoch FROM detected_at)::float8, (outcome_label = 'positive')::int::float8
    FROM public.pattern_events WHERE detected_at > %s ORDER BY detected_at, id
"""
_BASE_RATE = """
    SELECT avg((outcome_label = 'positive')::int)::float8 FROM public.pattern_events WHERE outcome_at <= %s
"""
_REASONS = """
    SELECT ml_metadata ->> 'source', ml_metadata ->> 'reason', count(*)
    FROM public.pattern_events WHERE detected_at > %s GROUP BY 1, 2 ORDER BY 3 DESC
"""
_SAMPLE = """
    SELECT detected_at, symbol, pattern_type, direction, rule_confidence, ml_confidence, confidence,
           ml_metadata ->> 'reason', prediction_latency_ms
    FROM (SELECT *, row_number() OVER (ORDER BY detected_at, id) AS n, count(*) OVER () AS total
          FROM public.pattern_events WHERE detected_at > %s AND scored_at IS NOT NULL) p
    WHERE n %% greatest(total / 8, 1) = 0 ORDER BY detected_at LIMIT 8
"""
_RELATION = "SELECT to_regclass(%s) IS NOT NULL"


@dataclass(frozen=True, slots=True)
class Live:
    """The live rows as columns [N], NaN for null; ``hit`` is 1 for a positive outcome, NaN without a label."""

    rule: Floats
    ml: Floats
    blend: Floats
    confidence: Floats
    latency_ms: Floats
    detected_at: Floats
    hit: Floats


def report(console: Console, conn: Connection, cutoff: datetime) -> None:
    """Print everything there is to say about the rows detected after ``cutoff``."""
    rows = conn.execute(_LIVE, [cutoff]).fetchall()
    live = Live(*np.array(rows, dtype=np.float64).reshape(len(rows), 7).T)
    _print_latency(console, conn, live)
    console.print("\n[bold]A few of them[/], evenly spaced in time")
    console.print(rows_table(conn.execute(_SAMPLE, [cutoff]).fetchall()))
    _print_blending(console, conn, live, cutoff)
    _print_quality(console, conn, live, cutoff)
    _print_next(console, conn)


def _print_quality(console: Console, conn: Connection, live: Live, cutoff: datetime) -> None:
    base_rate = conn.execute(_BASE_RATE, [cutoff]).fetchone()
    known = np.isfinite(live.hit) & np.isfinite(live.ml)
    if base_rate is None or base_rate[0] is None or not known.any():
        console.print("\nNo live row has both a score and an outcome: there is nothing to judge.")
        return
    base = np.full(len(live.rule), base_rate[0], dtype=np.float64)
    _, ml_weight, rule_weight = _blending(conn)
    answers = {
        RULE: live.rule,
        ML: live.ml,
        BLEND: live.blend,
        EFFECTIVE: live.confidence,
        CONTROL: np.clip(ml_weight * base + rule_weight * live.rule, 0, 1),
        BASE: base,
    }
    kept = {name: answer[known] for name, answer in answers.items()}
    print_quality(console, kept, live.hit[known], live.detected_at[known])


def _print_latency(console: Console, conn: Connection, live: Live) -> None:
    row = conn.execute("SELECT sla_ms FROM ml.settings").fetchone()
    assert row is not None
    sla_ms = row[0]
    measured = live.latency_ms[np.isfinite(live.latency_ms)]
    if not len(measured):
        console.print("No live row was scored.")
        return
    p50, p95, p99 = np.percentile(measured, [50, 95, 99])
    console.print(
        f"[bold]Insert to score[/], by the database's clock, {len(measured):,} of {len(live.ml):,} live rows: "
        f"p50 [bold]{p50:.1f}[/], p95 [bold]{p95:.1f}[/], p99 [bold]{p99:.1f}[/], max {measured.max():.1f} ms; "
        f"{(measured <= sla_ms).mean():.1%} within the {sla_ms:g} ms of the service level.",
    )


def _print_blending(console: Console, conn: Connection, live: Live, cutoff: datetime) -> None:
    threshold, ml_weight, rule_weight = _blending(conn)
    reasons = ", ".join(f"{count:,} {source} ({reason})" for source, reason, count in conn.execute(_REASONS, [cutoff]))
    scored = np.isfinite(live.ml)
    above = scored & (live.ml >= threshold)
    console.print(
        f"\n[bold]Blending[/] is {ml_weight:g} ML + {rule_weight:g} rule where ML confidence reaches the threshold. "
        f"As stored: {reasons}. Share of rows blended: [bold]{above.mean():.1%}[/] at the threshold of "
        f"{threshold:g}, [bold]{scored.mean():.1%}[/] at 0, which blends whatever was scored.",
    )
    labelled = above & np.isfinite(live.hit)
    if labelled.any():
        console.print(
            f"Of the {labelled.sum():,} blended rows whose outcome is known, {live.hit[labelled].mean():.1%} were "
            f"positive; ML had said {live.ml[labelled].mean():.1%} on average.",
        )


def _blending(conn: Connection) -> tuple[float, float, float]:
    """Threshold, weight of ML and weight of the rule, as they are set."""
    row = conn.execute("SELECT threshold, ml_weight, rule_weight FROM ml.settings").fetchone()
    assert row is not None
    return row[0], row[1], row[2]


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
    ("ml.settings", "select ml.set('threshold', 0, 'blend whatever is scored');   -- from the next row on"),
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
