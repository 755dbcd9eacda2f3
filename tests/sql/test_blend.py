"""The blend: the trigger against a reference written from the formula, and what an application's updates do to it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from db_functions.database import Connection
from tests.sql_support import refused_with, write_scores
from tests.support import insert_pattern, make_champion, row_of

pytestmark = pytest.mark.compat

FALLBACKS = ("no_model", "insufficient_bars", "low_quality", "failed")
unit = st.one_of(st.sampled_from([0.0, 0.25, 0.5, 0.55, 1.0]), st.floats(0, 1, allow_subnormal=False))
unit_float32 = st.one_of(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.floats(0, 1, width=32, allow_subnormal=False))


@dataclass(frozen=True)
class Settings:
    enabled: bool = True
    threshold: float = 0.5
    ml_weight: float = 1.0
    rule_weight: float = 0.0


@dataclass(frozen=True)
class Blend:
    confidence: float | None
    blended: float | None
    source: str
    reason: str


def part(weight: float, value: float) -> float:
    """Postgres raises where a product is too small for a double, so a part that small counts as none."""
    return 0.0 if min(weight, value) < 1e-150 else weight * value


def reference(rule: float | None, ml: float | None, fallback: str | None, current: Settings) -> Blend:
    """The decision as the design words it, case by case."""
    if ml is None:
        return Blend(rule, None, "rule", fallback or "pending")
    blended = ml
    if rule is not None:
        blended = min(1.0, max(0.0, part(current.ml_weight, ml) + part(current.rule_weight, rule)))
    if fallback is not None:
        return Blend(rule, blended, "rule", fallback)
    if not current.enabled:
        return Blend(rule, blended, "rule", "ml_disabled")
    if rule is None:
        return Blend(ml, blended, "blend", "scored")
    if max(ml, 1 - ml) >= current.threshold:
        return Blend(blended, blended, "blend", "scored")
    return Blend(rule, blended, "rule", "below_threshold")


def decided(connection: Connection, pattern: str) -> Blend:
    row = row_of(connection, pattern, "confidence", "blended_confidence", "ml_metadata")
    metadata = row["ml_metadata"]
    return Blend(row["confidence"], row["blended_confidence"], metadata["source"], metadata["reason"])


def apply(connection: Connection, wanted: Settings) -> None:
    """As four calls of ml.set would leave the row, in one statement."""
    connection.execute(
        "update ml.settings set enabled = %s, threshold = %s, ml_weight = %s, rule_weight = %s, version = version + 1",
        [wanted.enabled, wanted.threshold, wanted.ml_weight, wanted.rule_weight],
    )


@pytest.fixture
def served(transaction: Connection) -> Connection:
    """A transaction in which there is a champion."""
    make_champion(transaction, "small-1")
    return transaction


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    current=st.builds(Settings, enabled=st.booleans(), threshold=unit, ml_weight=unit, rule_weight=unit),
    later=st.builds(Settings, enabled=st.booleans(), threshold=unit, ml_weight=unit, rule_weight=unit),
    rows=st.lists(
        st.tuples(st.none() | unit, st.none() | unit_float32, st.sampled_from(FALLBACKS)), min_size=1, max_size=8
    ),
    low_quality=st.booleans(),
    new_rule=unit,
)
@example(Settings(threshold=0.7), Settings(ml_weight=0.6, rule_weight=0.4), [(0.2, 0.5, "failed")], False, 0.9)
@example(Settings(), Settings(threshold=0.8), [(0.2, 0.125, None), (0.2, 0.875, None), (0.2, 0.25, None)], False, 0.9)
@example(Settings(threshold=1.0), Settings(enabled=False), [(None, 0.25, "failed")], False, 0.9)
@example(Settings(ml_weight=1.0, rule_weight=1.0), Settings(), [(1.0, 1.0, "failed")], False, 0.5)
def test_the_trigger_equals_the_formula(
    served: Connection,
    current: Settings,
    later: Settings,
    rows: list[tuple[float | None, float | None, str]],
    low_quality: bool,
    new_rule: float,
) -> None:
    """Scores and fallbacks, then an application's new rule confidence under other settings."""
    with served.transaction(force_rollback=True):
        apply(served, current)
        ids = [insert_pattern(served, confidence=rule) for rule, _, _ in rows]
        reasons = [fallback if ml is None else "low_quality" if low_quality else None for _, ml, fallback in rows]
        write_scores(served, ids, [ml for _, ml, _ in rows], reasons)
        for pattern, (rule, ml, _), reason in zip(ids, rows, reasons, strict=True):
            assert decided(served, pattern) == reference(rule, ml, reason, current)
            assert row_of(served, pattern, "ml_confidence")["ml_confidence"] == ml

        apply(served, later)
        served.execute("update pattern_events set rule_confidence = %s", [new_rule])
        for pattern, (rule, ml, _), reason in zip(ids, rows, reasons, strict=True):
            # Only a changed rule confidence is a reason to decide anew.
            assert decided(served, pattern) == reference(new_rule, ml, reason, current if rule == new_rule else later)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rule=st.none() | unit, weight=unit, scores=st.lists(unit_float32, min_size=2, max_size=30))
@example(rule=0.72, weight=0.6, scores=[0.44, 0.5, 0.54, 0.56])
def test_a_higher_score_is_never_a_lower_confidence(
    served: Connection, rule: float | None, weight: float, scores: list[float]
) -> None:
    """At the default threshold; gating by value left 0.72 standing at 0.54 and made it 0.62 at 0.56."""
    found = served.execute(
        "select case when ml_internal.decide(ml, %(rule)s, null, s.enabled, s.threshold) = 'scored' "
        "then ml_internal.blended(ml, %(rule)s, %(weight)s, 1 - %(weight)s::float8) else %(rule)s end "
        "from unnest(%(scores)s::float8[]) ml cross join ml.settings s order by ml",
        {"rule": rule, "weight": weight, "scores": scores},
    ).fetchall()
    confidences = [confidence for (confidence,) in found]
    assert confidences == sorted(confidences)


@pytest.mark.parametrize("fallback", FALLBACKS)
def test_a_fallback_keeps_the_rule_and_says_why(served: Connection, fallback: str) -> None:
    with_rule, without = insert_pattern(served), insert_pattern(served, confidence=None)
    write_scores(served, [with_rule, without], [None, None], [fallback, fallback])
    assert decided(served, with_rule) == Blend(0.7, None, "rule", fallback)
    assert decided(served, without) == Blend(None, None, "rule", fallback)


def test_low_quality_keeps_the_score_but_not_in_the_confidence(served: Connection) -> None:
    pattern = insert_pattern(served, confidence=None)
    write_scores(served, [pattern], [0.75], ["low_quality"])
    assert decided(served, pattern) == Blend(None, 0.75, "rule", "low_quality")


def test_without_a_rule_ml_stands_alone_unless_it_is_off(served: Connection) -> None:
    served.execute("select ml.set('threshold', 0.9, 'test')")
    pattern = insert_pattern(served, confidence=None)
    write_scores(served, [pattern], [0.25])
    assert decided(served, pattern) == Blend(0.25, 0.25, "blend", "scored")
    served.execute("select ml.disable('test')")
    write_scores(served, [pattern], [0.5])
    assert decided(served, pattern) == Blend(None, 0.5, "rule", "ml_disabled")


def test_the_decision_is_recorded(served: Connection) -> None:
    pattern = insert_pattern(served)
    served.execute("select ml.set('ml_weight', 0.5, 'test')")
    write_scores(served, [pattern], [0.75], quality=0.875)
    version = served.execute("select version from ml.settings").fetchone()
    assert version is not None
    row = row_of(served, pattern)
    assert row["ml_metadata"] == {
        "source": "blend",
        "reason": "scored",
        "ml_weight": 0.5,
        "rule_weight": 0.5,
        "threshold": 0.5,
        "settings_version": version[0],
        "model_version": "small-1",
        "probabilities": [0.125, 0.125, 0.75],
        "quality": 0.875,
        "bars": 128,
    }
    assert (row["model_version"], row["prediction_class"]) == ("small-1", "positive")
    assert row["confidence"] == row["blended_confidence"] == pytest.approx(0.5 * 0.75 + 0.5 * 0.7, abs=1e-15)


# What an application's update does


@pytest.fixture
def scored(served: Connection) -> str:
    """A pattern with rule 0.7, ML 0.75, blended 0.73, after which ML's weight was set to 0.5."""
    served.execute("select ml.set('ml_weight', 0.6, 'test')")
    pattern = insert_pattern(served)
    write_scores(served, [pattern], [0.75])
    assert decided(served, pattern).confidence == pytest.approx(0.73)
    served.execute("select ml.set('ml_weight', 0.5, 'test')")
    return pattern


def test_a_new_confidence_becomes_the_rule_and_is_blended_anew(served: Connection, scored: str) -> None:
    served.execute("update pattern_events set confidence = 0.5 where id = %s", [scored])
    row = row_of(served, scored)
    assert row["rule_confidence"] == 0.5
    assert row["confidence"] == pytest.approx(0.5 * 0.75 + 0.4 * 0.5)
    assert row["ml_metadata"]["ml_weight"] == 0.5
    assert row["ml_metadata"]["model_version"] == "small-1"


def test_a_new_rule_confidence_is_blended_anew(served: Connection, scored: str) -> None:
    served.execute("update pattern_events set rule_confidence = 0.5, confidence = 0.1 where id = %s", [scored])
    assert row_of(served, scored)["confidence"] == pytest.approx(0.5 * 0.75 + 0.4 * 0.5)


def test_taking_the_rule_back_leaves_ml_alone(served: Connection, scored: str) -> None:
    served.execute("update pattern_events set confidence = null where id = %s", [scored])
    assert decided(served, scored) == Blend(0.75, 0.75, "blend", "scored")


@pytest.mark.parametrize(
    "assignment",
    [
        "confidence = confidence",
        "rule_confidence = rule_confidence",
        "status = 'confirmed'",
        "operator_id = 'someone'",
        "confidence = rule_confidence",  # what a client knew before the score came
        "target = 120, metadata = '{}'",
    ],
)
def test_an_update_that_changes_no_confidence_decides_nothing(served: Connection, scored: str, assignment: str) -> None:
    columns = ("confidence", "rule_confidence", "blended_confidence", "ml_confidence", "ml_metadata", "scored_at")
    before = row_of(served, scored, *columns)
    served.execute(f"update pattern_events set {assignment} where id = %s", [scored])
    assert row_of(served, scored, *columns) == before
    assert before["ml_metadata"]["ml_weight"] == 0.6


def test_writing_back_every_column_as_read_changes_nothing(served: Connection, scored: str) -> None:
    types: dict[str, str] = dict(
        served.execute(
            "select attname, format_type(atttypid, null) from pg_attribute "
            "where attrelid = 'pattern_events'::regclass and attnum > 0 and not attisdropped"
        ).fetchall()
    )
    # As text and back, as it goes over the wire.
    as_text = [f"{name}::text as {name}" for name in types]
    before = row_of(served, scored, *as_text)
    assignments = ", ".join(f"{name} = %({name})s::{kind}" for name, kind in types.items())
    served.execute(f"update pattern_events set {assignments} where id = %(id)s", before)
    after = row_of(served, scored, *as_text)
    assert {name for name in types if before[name] != after[name]} <= {"updated_at"}


@pytest.mark.parametrize("column", ["confidence", "rule_confidence"])
@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan, math.inf])
def test_a_scored_row_refuses_what_is_out_of_range(served: Connection, scored: str, column: str, value: float) -> None:
    message = refused_with(served, "23514", f"update pattern_events set {column} = %s where id = %s", [value, scored])
    assert message.startswith(f"pattern_events.{column} is ")


def test_a_bad_confidence_is_refused_beside_a_good_rule_confidence(served: Connection, scored: str) -> None:
    refused_with(
        served, "23514", "update pattern_events set confidence = 7, rule_confidence = 0.5 where id = %s", [scored]
    )


def test_a_rescore_with_the_same_answer_still_records_its_settings(served: Connection, scored: str) -> None:
    write_scores(served, [scored], [0.75])
    assert row_of(served, scored)["ml_metadata"]["ml_weight"] == 0.5
    assert decided(served, scored).confidence == pytest.approx(0.5 * 0.75 + 0.4 * 0.7)


def test_updated_at_moves_with_the_application_only(served: Connection) -> None:
    old = "2020-01-01 00:00:00+00"
    pattern = insert_pattern(served, updated_at=old, created_at=old)

    def updated(expression: str = "updated_at = '2020-01-01 00:00:00+00'") -> Any:
        return row_of(served, pattern, f"{expression} as value")["value"]

    write_scores(served, [pattern], [0.75])
    write_scores(served, [pattern], [None], ["no_model"])
    served.execute("select ml.label(%s, 'positive', 'seen')", [pattern])
    assert updated()
    served.execute("update pattern_events set status = 'confirmed' where id = %s", [pattern])
    assert updated("updated_at = now()")


def test_a_score_fires_no_status_history(served: Connection, scored: str) -> None:
    assert served.execute("select count(*) from pattern_lifecycle_history").fetchone() == (0,)
    served.execute("update pattern_events set status = 'confirmed' where id = %s", [scored])
    found = served.execute("select metadata from pattern_lifecycle_history").fetchone()
    assert found is not None
    assert {name: found[0][name] for name in ("confidence", "rule_confidence", "ml_confidence")} == {
        "confidence": pytest.approx(0.73),
        "rule_confidence": 0.7,
        "ml_confidence": 0.75,
    }


def test_what_an_adopted_column_holds_never_stops_a_score(served: Connection) -> None:
    """An older script's columns have no checks of ours: a percentage for a confidence, an array for metadata."""
    served.execute("alter table pattern_events drop constraint pattern_events_rule_confidence_check")
    served.execute("alter table pattern_events alter column ml_metadata drop not null")
    pattern = insert_pattern(served)
    served.execute("alter table pattern_events disable trigger user")
    served.execute("update pattern_events set rule_confidence = 70, ml_metadata = null")
    served.execute("alter table pattern_events enable trigger user")
    # An unrelated update decides nothing, whatever the metadata is.
    served.execute("update pattern_events set status = 'confirmed'")
    assert row_of(served, pattern, "confidence", "ml_metadata") == {"confidence": 0.7, "ml_metadata": None}
    write_scores(served, [pattern], [0.75])
    assert decided(served, pattern) == Blend(0.75, 0.75, "blend", "scored")


def test_a_score_is_stored_as_the_model_gave_it(served: Connection) -> None:
    given_score = float(np.float32(0.6180339887))
    pattern = insert_pattern(served)
    write_scores(served, [pattern], [given_score])
    assert row_of(served, pattern)["ml_confidence"] == given_score


def test_the_guard_is_for_everybody_else(served: Connection) -> None:
    patterns = [insert_pattern(served) for _ in range(3)]
    served.execute("set local track_functions = 'pl'")
    write_scores(served, patterns, [0.75, 0.25, None], ["low_quality", None, "no_model"])
    assert "guard_pattern" not in calls(served)
    assert calls(served)["blend_pattern"] == 3
    served.execute("update pattern_events set status = 'confirmed'")
    assert calls(served)["guard_pattern"] == 3


def calls(connection: Connection) -> dict[str, int]:
    """How often each function was called in this transaction."""
    return dict(connection.execute("select funcname, calls from pg_stat_xact_user_functions").fetchall())
