"""What counts as evidence is recorded with each prediction: what was served, first passage, and whether it was seen."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from db_functions.database import Connection
from tests.sql_support import write_scores
from tests.support import at, insert_pattern, small_model

pytestmark = pytest.mark.compat

NAMES = ("history_count", "first_passage_target_plain", "first_passage_target")
EDGE = at(150)
EARLY, LATE = EDGE - timedelta(days=1), EDGE + timedelta(days=1)


def promote(
    connection: Connection,
    version: str,
    algorithm: str = "test",
    names: tuple[str, ...] = NAMES,
    **metrics: Any,
) -> int:
    found = connection.execute(
        "select ml_internal.register_model(%s, %s, %s, 1, '{bars}', '{ml_confidence,probabilities,features}', "
        "%s, 5, %s, '', '{}', '{}', null)",
        [version, algorithm, small_model(version), list(names), Jsonb(metrics)],
    ).fetchone()
    assert found is not None
    connection.execute("select ml_internal.record_parity(%s, 0, 1e-5, 8, 'test')", [version])
    connection.execute("select ml.promote(%s, 'test')", [version])
    return int(found[0])


def predictions(connection: Connection, pattern: str) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            "select * from ml.predictions where pattern_id = %s order by scored_at", [pattern]
        ).fetchall()


def seen(connection: Connection, detected_at: datetime) -> bool:
    pattern = insert_pattern(connection, detected_at=detected_at)
    write_scores(connection, [pattern], [0.6])
    return bool(predictions(connection, pattern)[-1]["seen"])


@pytest.mark.parametrize(
    ("metrics", "edge"),
    [
        # Training's own: behind the last horizon that it learned from, or behind its embargo.
        ({"fitted_from": 0, "fitted_until": at(10).timestamp(), "trained": {"test_from": EDGE.timestamp()}}, EDGE),
        ({"fitted_until": (EDGE - timedelta(days=15)).timestamp(), "label_horizon": 10}, EDGE),
        ({"fitted_until": (EDGE - timedelta(days=30)).timestamp()}, EDGE),
    ],
)
def test_rows_up_to_the_window_and_its_embargo_are_seen(
    transaction: Connection, metrics: dict[str, Any], edge: datetime
) -> None:
    promote(transaction, "stated", **metrics)
    assert seen(transaction, edge - timedelta(seconds=1))
    assert not seen(transaction, edge + timedelta(seconds=1))


def test_of_a_file_that_states_no_window_only_later_rows_are_evidence(transaction: Connection) -> None:
    promote(transaction, "unknown")
    assert seen(transaction, datetime.now(UTC) - timedelta(minutes=1))
    assert not seen(transaction, datetime.now(UTC) + timedelta(minutes=1))


def test_first_passage_has_seen_nothing(transaction: Connection) -> None:
    promote(transaction, "arithmetic", "first_passage")
    assert not seen(transaction, datetime(1999, 1, 1, tzinfo=UTC))


def test_scoring_again_makes_no_row_unseen(transaction: Connection) -> None:
    promote(transaction, "stated", trained={"test_from": EDGE.timestamp()})
    pattern = insert_pattern(transaction, detected_at=EARLY)
    for confidence in (0.6, 0.7):
        write_scores(transaction, [pattern], [confidence])
    assert [row["seen"] for row in predictions(transaction, pattern)] == [True, True]
    # An application that moves the row does not move what is known of the prediction.
    transaction.execute("update pattern_events set detected_at = %s where id = %s", [LATE, pattern])
    transaction.execute("select ml.label(%s, 'positive', 'test')", [pattern])
    rows = transaction.execute("select seen, detected_at from ml_internal.evidence").fetchall()
    assert rows == [(True, EARLY)] * 2


@pytest.mark.parametrize(
    ("names", "place"), [(NAMES, 2), (NAMES[:2], 1), (NAMES[:1], None)], ids=["corrected", "plain", "none"]
)
def test_first_passage_is_the_models_own_feature(
    transaction: Connection, names: tuple[str, ...], place: int | None
) -> None:
    promote(transaction, "featured", names=names)
    values = np.array([[7.0, 0.25, 0.375], [7.0, np.nan, np.nan], [7.0, 1.5, -0.5]], np.float32)[:, : len(names)]
    ids = [insert_pattern(transaction) for _ in values]
    write_scores(transaction, ids, [0.6] * 3, features=values)
    found = [predictions(transaction, pattern)[0]["first_passage"] for pattern in ids]
    assert found == [None if place is None else float(values[0, place]), None, None]


def test_served_is_what_the_application_reads(transaction: Connection) -> None:
    promote(transaction, "stated", fitted_until=0)
    transaction.execute("select ml.set('threshold', 0.7, 'test'), ml.set('ml_weight', 0.6, 'test')")
    ids = [insert_pattern(transaction, confidence=rule) for rule in (0.5, 0.5, None, 0.5)]
    write_scores(transaction, ids, [0.8, 0.6, 0.6, 0.8], [None, None, None, "low_quality"])
    read = [
        transaction.execute("select confidence from pattern_events where id = %s", [pattern]).fetchone()
        for pattern in ids
    ]
    found = [predictions(transaction, pattern)[0]["served"] for pattern in ids]
    assert found == [row and row[0] for row in read]
    assert found == pytest.approx([0.68, 0.5, 0.6, 0.5], abs=1e-7)


def test_of_a_challenger_it_is_what_would_have_been(transaction: Connection) -> None:
    transaction.execute("select ml.set('threshold', 0.7, 'test'), ml.set('ml_weight', 0.6, 'test')")
    beside = promote(transaction, "beside", fitted_until=0)
    promote(transaction, "stated", fitted_until=0)
    transaction.execute("select ml.challenge('beside', 1, 0, 'test')")
    ids = [insert_pattern(transaction, confidence=rule) for rule in (0.5, 0.5, None)]
    write_scores(transaction, ids, [0.8, 0.6, 0.6])
    write_scores(transaction, ids, [0.9, 0.6, 0.6], role="challenger", model=beside)
    found = [row["served"] for pattern in ids for row in predictions(transaction, pattern) if row["model_id"] == beside]
    assert found == pytest.approx([0.74, 0.5, 0.6], abs=1e-7)


def test_the_view_has_a_row_for_each_labelled_prediction(transaction: Connection) -> None:
    model = promote(transaction, "stated", trained={"test_from": EDGE.timestamp()})
    early, late, unlabelled = (insert_pattern(transaction, detected_at=one) for one in (EARLY, LATE, LATE))
    values = np.array([[7, 0.25, 0.375]], np.float32)
    write_scores(transaction, [early], [0.75], features=values)
    write_scores(transaction, [late], [0.625], features=values, enqueued_at=LATE)
    write_scores(transaction, [unlabelled], [0.5])
    for pattern, outcome in ((early, "positive"), (late, "neutral")):
        transaction.execute("select ml.label(%s, %s, 'test')", [pattern, outcome])
    with transaction.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute("select * from ml_internal.evidence order by detected_at").fetchall()
    common = {"model_id": model, "role": "champion", "pattern_type": "double_bottom", "timeframe": "1d"}
    scores = {"rule": 0.7, "first_passage": 0.375}
    expected = [
        {"detected_at": EARLY, "source": "backfill", "outcome": "positive", "y": 1.0, "ml": 0.75, "seen": True},
        {"detected_at": LATE, "source": "live", "outcome": "neutral", "y": 0.0, "ml": 0.625, "seen": False},
    ]
    for row, own in zip(rows, expected, strict=True):
        wanted = common | scores | own | {"blended": own["ml"], "served": own["ml"]}
        assert {name: row[name] for name in wanted} == wanted


def test_fitted_on_everything_and_scored_again_over_everything_shows_nothing(transaction: Connection) -> None:
    """As good as can be on rows that it knows: no view and no alert takes that for evidence."""
    promote(transaction, "knowing", trained={"test_from": at(1000).timestamp()})
    ids = [insert_pattern(transaction, detected_at=at(day)) for day in range(0, 400, 4)]
    for pattern, outcome in zip(ids, ["positive", "negative"] * 50, strict=True):
        transaction.execute("select ml.label(%s, %s, 'test')", [pattern, outcome])
    for live in (None, LATE):
        write_scores(transaction, ids, [0.99, 0.01] * 50, enqueued_at=live)
    views = ("performance_realised", "performance_estimated", "performance_gap", "performance_differences")
    for view in (*views, "calibration", "calibration_summary"):
        found = transaction.execute(f"select distinct source from ml.{view}".encode()).fetchall()
        assert found == [("seen_in_training",)], view
    page = transaction.execute("select ml_internal.page_json()").fetchone()
    assert page is not None
    assert (page[0]["calibration"], page[0]["groups"]) == ([], [])
    for question in ("ml.what_if()", "ml.what_if(source => 'backfill')", "ml.blend_advice()"):
        assert transaction.execute(f"select rows from {question}".encode()).fetchall() == [(0,)], question
    for silent in ("ml.skill", "ml_internal.alert_performance", "ml_internal.served_differences"):
        assert transaction.execute(f"select from {silent}".encode()).fetchall() == [], silent
