"""Counts written with the scores agree with the rows and with ml.predictions, folded or not, whoever scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import psycopg
import pytest
from numpy.typing import NDArray
from psycopg.types.json import Jsonb

from db_functions.contract import predicted_classes
from db_functions.database import Connection
from tests.support import FITTED_LONG_AGO, at, insert_bars, insert_pattern, register, small_model
from training.baseline import drift_baseline
from worker.serving.engine import Engine
from worker.serving.tally import Bins

pytestmark = [pytest.mark.compat, pytest.mark.usefixtures("within_an_hour")]

NAMES = ["history_positive_rate", "history_count"]


def bins_of(connection: Connection) -> dict[str, tuple[list[float] | None, list[str] | None, int]]:
    rows = connection.execute(
        "select name, edges, categories, first_cell from ml_internal.bins order by position"
    ).fetchall()
    return {name: (edges, categories, first) for name, edges, categories, first in rows}


def register_with_baseline(
    connection: Connection, version: str = "binned", positive: NDArray[np.float32] | None = None, **model: Any
) -> None:
    """Register and promote a small model whose training scores were ``positive`` (400; else even from 0.3 to 0.7)."""
    rng = np.random.default_rng(3)
    features = np.stack([rng.uniform(0, 1, 500), rng.integers(0, 40, 500)], axis=1).astype(np.float32)
    features[:50, 0] = np.nan
    positive = rng.uniform(0.3, 0.7, 400).astype(np.float32) if positive is None else positive
    probabilities = np.stack([(1 - positive) / 2, (1 - positive) / 2, positive], axis=1)
    types = np.array(["double_bottom"] * 400 + ["wedge"] * 100, dtype=object)
    texts = {"pattern_type": types, "timeframe": np.array(["1d"] * 500, dtype=object)}
    connection.execute(
        "select ml_internal.register_model(%s, 'test', %s, 1, '{bars,history}', "
        "'{ml_confidence,probabilities,features}', "
        "%s, 5, %s, '', '{}', %s, null)",
        [
            version,
            small_model(version, **model),
            NAMES,
            Jsonb(FITTED_LONG_AGO),
            Jsonb(drift_baseline(features, NAMES, texts, probabilities)),
        ],
    )
    connection.execute("select ml_internal.record_parity(%s, 0, 1e-5, 8, 'test')", [version])
    connection.execute("select ml.promote(%s, 'test')", [version])


@pytest.fixture
def scored(connection: Connection) -> Connection:
    """Rows of every kind, live and backfilled: scored, below the threshold, disabled, without bars, without a model."""
    insert_bars(connection)
    insert_bars(connection, symbol="NEW", days=range(3), bars=np.tile([100.0, 101, 99, 100, 1000], (3, 1)))
    connection.execute("select ml.set('threshold', 0.6, 'test')")
    engine = Engine(connection)
    insert_pattern(connection)
    engine.score_queue()
    register_with_baseline(connection, sensitivity=3.0)
    engine.refresh_model()
    for day in range(20, 190, 7):
        insert_pattern(connection, detected_at=at(day), pattern_type="flag" if day % 2 else "double_bottom")
        insert_pattern(connection, detected_at=at(day), confidence=None)
        engine.score_queue(limit=1)
    engine.score_queue()
    insert_pattern(connection, symbol="NEW", detected_at=at(2))
    connection.execute("select ml.disable('test')")
    insert_pattern(connection, detected_at=at(100))
    engine.score_queue()
    connection.execute("select ml.enable('test')")
    connection.execute("insert into ml.queue (pattern_id) select id from pattern_events where symbol = 'NEW'")
    engine.dead_letter(connection.execute("select max(id) from ml.queue").fetchone()[0], "killed", 5)  # type: ignore[index]
    return connection


def totals(connection: Connection, grain: str) -> dict[str, Any]:
    cursor = connection.execute(
        "select sum(rows) as rows, sum(scored) as scored, sum(below_threshold) as below_threshold, "
        "sum(ml_disabled) as ml_disabled, sum(no_model) as no_model, sum(insufficient_bars) as insufficient_bars, "
        "sum(low_quality) as low_quality, sum(failed) as failed, sum(timed) as timed, sum(confidences) as confidences, "
        "sum(confidence_sum) as confidence_sum, sum(cache_hits) as hits, sum(cache_misses) as misses, "
        "sum((select sum(x) from unnest(latency) x)) as in_latency, "
        "sum((select sum(x) from unnest(scores) x)) as in_scores from ml_internal.metric_counts where grain = %s",
        [grain],
    )
    row = cursor.fetchone()
    assert row is not None
    assert cursor.description is not None
    return dict(zip([column.name for column in cursor.description], row, strict=True))


def test_reasons_latencies_and_confidences_agree_with_the_rows(scored: Connection) -> None:
    found = totals(scored, "hour")
    predictions = scored.execute("select count(*), sum(ml_confidence::float8) from ml.predictions").fetchone()
    assert predictions is not None
    assert (found["confidences"], found["in_scores"]) == (predictions[0], predictions[0])
    assert found["confidence_sum"] == pytest.approx(predictions[1], abs=1e-9)
    by_reason: dict[str, int] = dict(
        scored.execute(
            "select ml_metadata ->> 'reason', count(*) from pattern_events where symbol <> 'NEW' group by 1"
        ).fetchall()
    )
    # The row without bars fell back first, and was given up later.
    assert {name: found[name] for name in by_reason} == by_reason
    assert (found["insufficient_bars"], found["failed"]) == (1, 1)
    assert set(by_reason) == {"scored", "below_threshold", "ml_disabled", "no_model"}
    assert found["timed"] == found["in_latency"] == found["rows"] - 1
    assert found["hits"] > 0
    assert found["misses"] > 0


def test_a_fold_changes_no_figure(scored: Connection) -> None:
    def figures() -> list[Any]:
        found: list[Any] = [totals(scored, grain) for grain in ("minute", "hour", "day")]
        found.append(
            scored.execute(
                "select sum(predictions), sum(expected_error), sum(expected_log_loss), sum(expected_pairs) "
                "from ml_internal.cohort_counts"
            ).fetchone()
        )
        found.append(
            scored.execute("select sum(rows), sum(cells[1]), sum(sums[2]) from ml_internal.feature_counts").fetchone()
        )
        return found

    before = figures()
    assert scored.execute("select count(*) from ml_internal.metric_rollups").fetchone() == (0,)
    scored.execute("select ml_internal.fold()")
    assert figures() == [pytest.approx(part) if isinstance(part, tuple) else part for part in before]
    assert scored.execute("select count(*) from ml_internal.fresh_metrics").fetchone() == (0,)
    scored.execute("select ml_internal.fold()")
    engine = Engine(scored)
    insert_pattern(scored)
    engine.refresh_model()
    engine.score_queue()
    after = totals(scored, "day")
    assert after["rows"] == before[2]["rows"] + 1
    scored.execute("select ml_internal.fold()")
    assert totals(scored, "day") == after


def test_a_tally_is_what_the_predictions_hold(scored: Connection) -> None:
    rows = scored.execute(
        "select features, ml_confidence, pattern_type, probabilities from ml.predictions order by scored_at"
    ).fetchall()
    values = np.array([[*row[0], row[1]] for row in rows], dtype=np.float64)
    expected: dict[str, Any] = {}
    for column, name in enumerate([*NAMES, "ml_confidence"]):
        edges, _, _ = bins_of(scored)[name]
        x = values[:, column]
        finite = x[np.isfinite(x)]
        counts = np.bincount(np.searchsorted(edges or [], finite, side="right"), minlength=len(edges or []) + 1)
        expected[name] = [*counts, np.isnan(x).sum(), np.isinf(x).sum()]
    expected["pattern_type"] = [sum(r[2] == "double_bottom" for r in rows), 0, 0, sum(r[2] == "flag" for r in rows)]
    for fold in (False, True):
        if fold:
            scored.execute("select ml_internal.fold()")
        row = scored.execute("select rows, cells from ml_internal.feature_counts where grain = 'day'").fetchone()
        assert row is not None
        assert row[0] == len(rows)
        for name, counts in expected.items():
            first = bins_of(scored)[name][2]
            found = [*row[1], *[0] * 200][first : first + len(counts)]
            assert found == list(counts), name


def test_what_is_written_while_a_fold_runs_is_counted_by_the_next(database: str) -> None:
    with (
        psycopg.connect(database, autocommit=True) as one,
        psycopg.connect(database) as writer,
        psycopg.connect(database, autocommit=True) as folder,
    ):
        insert_bars(one)
        register_with_baseline(one)
        engine = Engine(one)
        engine.refresh_model()
        # An early transaction that commits late: its number is below the fold's snapshot.
        writer.execute("select pg_current_xact_id()")
        insert_pattern(one)
        engine.score_queue()
        writer.execute(
            "insert into ml_internal.batches (at, source, role, sla_ms, reasons, latency_ms, classes, "
            "confidences, rules, "
            "blends, thresholds, pattern_types, timeframes) values (now(), 'live', 'champion', 75, '{no_model}', "
            "'{3.0}', '{null}', '{null}', '{null}', '{null}', '{null}', '{flag}', '{1d}')"
        )
        folder.execute("select ml_internal.fold()")
        assert totals(one, "day")["rows"] == 1
        writer.commit()
        assert (totals(one, "day")["rows"], totals(one, "day")["no_model"]) == (2, 1)
        folder.execute("select ml_internal.fold()")
        folder.execute("select ml_internal.fold()")
        assert totals(one, "day")["rows"] == 2
        assert one.execute("select count(*) from ml_internal.fresh_metrics").fetchone() == (0,)


def test_a_fold_inside_a_writing_transaction_is_refused(transaction: Connection) -> None:
    insert_pattern(transaction)
    with pytest.raises(psycopg.errors.ActiveSqlTransaction):
        transaction.execute("select ml_internal.fold()")


def test_two_folds_at_once_count_once(database: str) -> None:
    with psycopg.connect(database) as first, psycopg.connect(database, autocommit=True) as second:
        insert_bars(second)
        register_with_baseline(second)
        engine = Engine(second)
        engine.refresh_model()
        insert_pattern(second)
        engine.score_queue()
        assert first.execute("select ml_internal.fold()").fetchone() == (3,)
        assert second.execute("select ml_internal.fold()").fetchone() == (0,), "the first is not done"
        assert totals(second, "day")["rows"] == 1
        first.commit()
        assert second.execute("select ml_internal.fold()").fetchone() == (0,)
        assert totals(second, "day")["rows"] == 1


@pytest.mark.parametrize("ahead", [1_000_000_000, 20, -20], ids=["far_behind", "just_behind", "ahead"])
def test_logs_from_another_cluster_are_folded_once(scored: Connection, ahead: int) -> None:
    """``ahead``: by how much the cluster of the dump has counted further than this one."""
    before = totals(scored, "day")
    scored.execute("select ml_internal.fold()")
    engine = Engine(scored)
    engine.refresh_model()
    insert_pattern(scored)
    engine.score_queue()
    # As a restore brings them.
    for log in ("batches", "tallies", "outcome_changes"):
        scored.execute(f"update ml_internal.{log} set xid = (xid::text::bigint + {ahead})::text::xid8")
    scored.execute(
        "update ml_internal.folds set cluster = cluster + 1, "
        f"snapshot = format('%s:%s:', pg_snapshot_xmin(snapshot)::text::bigint + {ahead}, "
        f"pg_snapshot_xmax(snapshot)::text::bigint + {ahead})::pg_snapshot"
    )
    insert_pattern(scored)
    engine.score_queue()
    # By the time of the first fold it may have overtaken the other.
    for _ in range(60):
        scored.execute("select pg_current_xact_id()")
    scored.execute("select ml_internal.fold()")
    scored.execute("select ml_internal.fold()")
    assert totals(scored, "day")["rows"] == before["rows"] + 2
    assert scored.execute("select sum(rows) from ml_internal.feature_rollups where grain = 'day'").fetchone() == (
        before["confidences"] + 2,
    )
    assert scored.execute("select count(*) from ml_internal.fresh_metrics").fetchone() == (0,)


def test_a_row_in_flight_at_the_first_fold_after_a_restore_is_counted(scored: Connection, database: str) -> None:
    """Its transaction began after the last one that ended, so that no snapshot names it as running."""
    before = totals(scored, "day")
    scored.execute("update ml_internal.folds set cluster = cluster + 1")
    with psycopg.connect(database) as writer:
        writer.execute("select pg_current_xact_id()")
        scored.execute("select ml_internal.fold()")
        writer.execute(
            "insert into ml_internal.batches (at, source, role, sla_ms, reasons, latency_ms, classes, confidences, "
            "rules, blends, thresholds, pattern_types, timeframes) values (clock_timestamp(), 'live', 'champion', 75, "
            "'{no_model}', '{1}', '{null}', '{null}', '{0.5}', '{null}', '{0.5}', '{double_top}', '{1d}')"
        )
        writer.commit()
    assert totals(scored, "day")["rows"] == before["rows"] + 1
    scored.execute("select ml_internal.fold()")
    assert totals(scored, "day")["rows"] == before["rows"] + 1


def test_a_row_scored_by_somebody_else_meanwhile_is_counted_once(scored: Connection) -> None:
    before = totals(scored, "day")
    engine = Engine(scored)
    engine.refresh_model()
    pattern = insert_pattern(scored)
    scored.execute("insert into ml.queue (pattern_id, enqueued_at) values (%s, now() - interval '1 hour')", [pattern])
    assert engine.score_queue(limit=1).done == 1
    insert_pattern(scored, detected_at=at(33))
    assert engine.score_queue().done == 2, "a new row, and the older entry, which finds the score and leaves it"
    assert totals(scored, "day")["rows"] == before["rows"] + 2
    tallied = scored.execute("select sum(rows) from ml_internal.feature_counts where grain = 'day'").fetchone()
    assert tallied == (before["confidences"] + 2,)


def test_latency_quantiles_are_within_five_percent(transaction: Connection) -> None:
    values = np.random.default_rng(0).lognormal(1.5, 1.2, 5000)
    row = transaction.execute(
        "select ml_internal.latency_quantiles(h, '{0.5,0.95,0.99}') from "
        "(select ml_internal.sum_by_bin(array_agg(ml_internal.latency_bin(v)), null) as h from "
        "unnest(%s::float8[]) v) c",
        [values.tolist()],
    ).fetchone()
    assert row is not None
    for found, q in zip(row[0], (0.5, 0.95, 0.99), strict=True):
        assert found == pytest.approx(float(np.quantile(values, q, method="inverted_cdf")), rel=0.05)
    assert transaction.execute("select ml_internal.latency_quantiles('{}', '{0.5}')").fetchone() == ([],)


@pytest.mark.parametrize(
    ("baseline", "fault"),
    [
        ({"edges": [2, 1], "counts": [1, 1, 1]}, "edges must rise"),
        ({"edges": [1], "counts": [1]}, "it has 1 counts for 2 bins"),
        ({"edges": ["x"], "counts": [1, 1]}, "must be numbers"),
        ({"edges": ["NaN"], "counts": [1, 1]}, "edges must be finite"),
        ({"edges": [1], "counts": [1, -1]}, "counts must be whole numbers"),
        ({"categories": ["a", "a"], "counts": [1, 1]}, "categories must be different"),
        ([1, 2], "it must be an object"),
        ({"edges": 7, "counts": [1]}, "must be numbers"),
        ({"edges": [], "counts": [3], "mean": "Infinity"}, "mean and deviation"),
    ],
)
def test_a_baseline_that_cannot_be_used_is_refused(transaction: Connection, baseline: Any, fault: str) -> None:
    with pytest.raises(
        psycopg.Error, match=rf'drift baseline of feature "history_count" cannot be used: .*{fault}'
    ) as refused:
        transaction.execute(
            "select ml_internal.register_model('bad', 'test', %s, 1, '{bars}', '{ml_confidence}', %s, 5, "
            "'{}', '', '{}', %s, "
            "null)",
            [b"x", NAMES, Jsonb({"features": {"history_count": baseline}})],
        )
    assert refused.value.sqlstate == "ML005"


def test_a_model_without_a_baseline_is_counted_all_the_same(connection: Connection) -> None:
    insert_bars(connection)
    register(connection, "plain")
    connection.execute("select ml.promote('plain', 'test')")
    engine = Engine(connection)
    engine.refresh_model()
    insert_pattern(connection)
    engine.score_queue()
    found = totals(connection, "day")
    assert (found["rows"], found["confidences"], found["in_scores"]) == (1, 1, 1)
    assert connection.execute("select count(*) from ml_internal.feature_counts").fetchone() == (0,)


def test_classes_are_those_of_the_database(scored: Connection) -> None:
    rows = scored.execute(
        "select s.probabilities, p.prediction_class from ml.predictions s join pattern_events p on p.id = s.pattern_id"
    ).fetchall()
    assert predicted_classes(np.array([row[0] for row in rows], dtype=np.float32)).tolist() == [row[1] for row in rows]


def test_equal_classes_are_decided_as_in_the_database(transaction: Connection) -> None:
    third = float(np.float32(1 / 3))
    ties = [[0.4, 0.2, 0.4], [0.4, 0.4, 0.2], [0.2, 0.4, 0.4], [third, third, third], [0.2, 0.5, 0.3]]
    found = transaction.execute(
        "select array_agg(ml_internal.predicted_class(array[a, b, c]::real[]) order by n) "
        "from unnest(%s::real[], %s::real[], %s::real[]) with ordinality u (a, b, c, n)",
        [[row[i] for row in ties] for i in range(3)],
    ).fetchone()
    assert found == (["positive", "negative", "positive", "positive", "neutral"],)
    assert predicted_classes(np.array(ties, np.float32)).tolist() == found[0]


def test_bins_count_as_width_bucket_does(transaction: Connection) -> None:
    edges = [-1.0, 0.0, 0.1, 0.30000001192092896, 5.0]
    values = np.array([-2, -1, -0.5, 0, 0.1, 0.3, 0.3, 4, 5, 6, np.nan, np.inf, -np.inf], dtype=np.float32)
    bins = Bins.from_rows([("feature", "x", 0, edges, None, 0)], 1)
    assert bins is not None
    flat = np.full(len(values), 0.5, np.float32)
    tally = bins.tally(values[:, None], flat, np.tile(np.array([0.25, 0.25, 0.5], np.float32), (len(values), 1)), {})
    found = dict(zip(tally.cells.tolist(), tally.counts.tolist(), strict=True))
    row = transaction.execute(
        "select array_agg(width_bucket(v::float8, %s::float8[])) from unnest(%s::real[]) v",
        [edges, [float(v) for v in values if np.isfinite(v)]],
    ).fetchone()
    assert row is not None
    expected = {bin_: row[0].count(bin_) for bin_ in set(row[0])} | {6: 1, 7: 2}
    assert found == expected
    assert tally.sums[0] == pytest.approx(float(values[np.isfinite(values)].astype(float).sum()))
