"""What is known of the pattern besides prices: its type's record, its own duration, and the rules' opinion."""

from __future__ import annotations

from db_functions.contract import HISTORY_COLUMNS
from training.features.registry import Family
from training.features.window import Array, Window

HISTORY = Family("history")
feature = HISTORY.feature


@feature(
    "positives / all outcomes of this pattern type known by then",
    range="[0, 1]",
    bars=0,
    missing="NaN where there are none",
)
def type_success_rate(w: Window) -> Array:
    return w.column("history", HISTORY_COLUMNS.index("positive_rate"))


@feature(
    "ln(1 + n), n = outcomes of this pattern type known by then", range="[0, inf]", bars=0, missing="NaN where n is"
)
def type_count_log(w: Window) -> Array:
    return w.xp.log(1.0 + w.column("history", HISTORY_COLUMNS.index("count")))


@feature(
    "ln(1 + s), s = seconds from started_at to detected_at; 0 where negative",
    range="[0, inf]",
    bars=0,
    missing="NaN where started_at is absent",
)
def duration_log(w: Window) -> Array:
    seconds = w.column("duration_s")
    return w.xp.log(1.0 + w.xp.where(seconds < 0.0, 0.0, seconds))


@feature("the application's own confidence", range="[0, 1]", bars=0, missing="NaN where absent")
def rule_confidence(w: Window) -> Array:
    return w.column("rule_confidence")


@feature("1 bullish, -1 bearish, 0 unknown", range="[-1, 1]", bars=0, missing="0 where absent")
def direction(w: Window) -> Array:
    return w.direction
