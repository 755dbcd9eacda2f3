"""``/metrics`` in Prometheus' text format, from the counts in the database.

Counters and histograms come from the daily counts and what is not folded yet: the workers add up, and a restart of a
worker or of this process resets nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
FIRST_MS, STEP = 0.1, 1.1
"""As in ``ml_internal.latency_bin``: bin i > 0 ends at FIRST_MS * STEP ** i."""
BOUNDS = range(0, 150, 7)
"""The bins at whose ends a bucket ends: exact, each about twice (1.1 ** 7) the one before; 0.1 ms to 120 s."""
DECISIONS = ("scored", "below_threshold", "ml_disabled", "no_model", "insufficient_bars", "low_quality", "failed")


@dataclass(frozen=True, slots=True)
class SourceCounts:
    """A row of ``counters``: everything that was counted for one source of rows."""

    source: str
    rows: int
    scored: int
    below_threshold: int
    ml_disabled: int
    no_model: int
    insufficient_bars: int
    low_quality: int
    failed: int
    timed: int
    within_sla: int
    cache_hits: int
    cache_misses: int
    latency: Sequence[float] | None
    inference: Sequence[float] | None


@dataclass(frozen=True, slots=True)
class QuestionCount:
    """A row of ``question_counts``."""

    kind: str
    reason: str
    patterns: int


def render(
    health: Mapping[str, Any],
    alerts: Sequence[Mapping[str, Any]],
    counts: Sequence[SourceCounts],
    helping: Mapping[str, Any],
    questions: Sequence[QuestionCount] = (),
) -> str:
    """The exposition of a row of ``ml.health``, the rows of ``ml.alerts``, the query ``counters``, the answer of
    ``ml_internal.helping_json`` and the query ``question_counts``.
    """
    lines: list[str] = []
    families = (*_states(health, alerts), *_helping(helping), *_counters(counts), _asked(questions))
    for name, kind, text, samples in families:
        lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}", *samples]
    return "\n".join(lines) + "\n"


Family = tuple[str, str, str, list[str]]


def _states(health: Mapping[str, Any], alerts: Sequence[Mapping[str, Any]]) -> Iterable[Family]:
    states = [
        _sample("ml_health_status", status == health["status"], status=status)
        for status in ("healthy", "degraded", "unavailable")
    ]
    yield "ml_health_status", "gauge", "1 for the status of ml.health, 0 for the others", states
    for name, column, text in (
        ("ml_enabled", "ml_enabled", "Whether ML may change the effective confidence"),
        ("ml_model_loaded", "model_loaded", "Whether a worker serves the champion"),
        ("ml_baseline_set", "baseline_set", "Whether drift of the champion can be measured"),
        ("ml_workers_alive", "workers_alive", "Workers seen within 30 s"),
        ("ml_workers_serving", "workers_serving", "Of these, with the champion loaded"),
        ("ml_queue_depth", "queue_depth", "Rows that wait for a score"),
        ("ml_dead_letters", "dead_letters", "Rows in ml.failures that were not redriven"),
    ):
        yield name, "gauge", text, [_sample(name, health[column])]
    oldest = (health["oldest_age_ms"] or 0) / 1000
    yield (
        "ml_queue_oldest_seconds",
        "gauge",
        "Age of the oldest waiting row",
        [_sample("ml_queue_oldest_seconds", oldest)],
    )
    sla = [_sample("ml_sla_seconds", health["sla_ms"] / 1000)]
    yield "ml_sla_seconds", "gauge", "Service level from insert to score", sla
    champion = [_sample("ml_champion_info", 1, version=health["champion"])] if health["champion"] else []
    yield "ml_champion_info", "gauge", "The version of the champion, as a label", champion
    standing = [_sample("ml_alert", 1, type=a["type"], level=a["level"], subject=a["subject"] or "") for a in alerts]
    yield "ml_alert", "gauge", "1 for each alert of ml.alerts that stands", standing


def _helping(helping: Mapping[str, Any]) -> Iterable[Family]:
    """Whether ML helps, on the champion's unseen rows with an outcome; no sample where there are none."""
    rows = [_sample("ml_unseen_labelled_rows", helping["rows"] or 0)]
    yield "ml_unseen_labelled_rows", "gauge", "Rows that the champion had not seen, with an outcome", rows
    scores = [_sample("ml_brier_score", one["brier"], score=one["score"]) for one in helping["scores"]]
    yield "ml_brier_score", "gauge", "Mean squared error of each probability on these rows; lower is better", scores
    for name, column, text in (
        (
            "ml_brier_difference",
            "difference",
            "Brier score less that of the baseline on the same rows; below 0 is better",
        ),
        ("ml_brier_difference_low", "low", "Lower end of its 95 % interval, by blocks of calendar time"),
        ("ml_brier_difference_high", "high", "Upper end of its 95 % interval, by blocks of calendar time"),
    ):
        samples = [
            _sample(name, one[column], score=one["score"], baseline=one["baseline"])
            for one in helping["differences"]
            if one[column] is not None
        ]
        yield name, "gauge", text, samples


def _counters(counts: Sequence[SourceCounts]) -> Iterable[Family]:
    rows = [
        _sample("ml_rows_total", getattr(count, decision), source=count.source, decision=decision)
        for count in counts
        for decision in DECISIONS
    ]
    yield "ml_rows_total", "counter", "Rows written by workers and backfills, by what was decided", rows
    for name, column, text in (
        ("ml_timed_rows_total", "timed", "Rows whose time from insert to score is known"),
        ("ml_within_sla_rows_total", "within_sla", "Of these, within the service level of their moment"),
        ("ml_bar_cache_hits_total", "cache_hits", "Series found in a worker's memory"),
        ("ml_bar_cache_misses_total", "cache_misses", "Series that were read from the database"),
    ):
        yield name, "counter", text, [_sample(name, getattr(one, column), source=one.source) for one in counts]
    for name, column, text in (
        ("ml_latency_seconds", "latency", "From insert to score; the sum is within 5 %"),
        ("ml_inference_seconds", "inference", "The graph call of the batch a row was in; the sum is within 5 %"),
    ):
        samples = [line for one in counts for line in _histogram(name, getattr(one, column), one.source)]
        yield name, "histogram", text, samples


def _asked(questions: Sequence[QuestionCount]) -> Family:
    samples = [_sample("ml_questions_total", one.patterns, kind=one.kind, reason=one.reason) for one in questions]
    return "ml_questions_total", "counter", "Patterns that were asked about without inserting them", samples


def _histogram(name: str, bins: Sequence[float] | None, source: str) -> list[str]:
    bins = bins or []
    total = sum(bins)
    lines = [
        _sample(f"{name}_bucket", sum(bins[: last + 1]), source=source, le=f"{FIRST_MS * STEP**last / 1000:.6g}")
        for last in BOUNDS
    ]
    middles = [FIRST_MS if i == 0 else FIRST_MS * STEP ** (i - 0.5) for i in range(len(bins))]
    seconds = sum(count * ms for count, ms in zip(bins, middles, strict=True)) / 1000
    return [
        *lines,
        _sample(f"{name}_bucket", total, source=source, le="+Inf"),
        _sample(f"{name}_sum", seconds, source=source),
        _sample(f"{name}_count", total, source=source),
    ]


def _sample(name: str, value: float, **labels: str) -> str:
    inside = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
    return f"{name}{{{inside}}} {float(value):.15g}" if inside else f"{name} {float(value):.15g}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
