"""Calibration and performance as views: as scikit-learn, SciPy and NumPy on the same rows, however labels arrive."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import psycopg
import pytest
from numpy.typing import NDArray
from pytest_postgresql.janitor import DatabaseJanitor
from scipy.stats import binomtest, norm
from sklearn.metrics import brier_score_loss, log_loss, precision_score, recall_score, roc_auc_score

from db_functions.database import Connection
from tests.servers import Server
from tests.sql.test_counts import register_with_baseline
from tests.sql_support import write_batch
from tests.support import at, insert_bars, insert_pattern, random_bars, wait_until
from worker.serving.engine import Engine

pytestmark = [pytest.mark.compat, pytest.mark.usefixtures("within_an_hour")]

SCORES = ("ml", "rule", "blended", "served")
TENTHS = np.arange(1, 10) / 10
# How the scores of these rows fall (quantiles), as they do in training: the fineness of the bins follows from there.
SHAPE = ([0, 0.05, 0.25, 0.5, 0.75, 0.95, 1], [0.08, 0.105, 0.158, 0.176, 0.442, 0.576, 0.645])
ALL = "cohort is null and detected_month is null and pattern_type is null and timeframe is null"
Floats = NDArray[np.float64]


def view(connection: Connection, name: str, where: str = ALL) -> list[dict[str, Any]]:
    cursor = connection.execute(f"select * from ml.{name} where {where}".encode())
    assert cursor.description is not None
    names = [column.name for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def only(connection: Connection, name: str, score: str, where: str = ALL) -> dict[str, Any]:
    (row,) = view(connection, name, f"score = '{score}' and {where}")
    return row


@dataclass(frozen=True)
class Rows:
    """Scored patterns as the table has them; ``hit`` is NaN where there is no label."""

    kind: NDArray[Any]
    values: dict[str, Floats]
    hit: Floats
    threshold: float

    def of(self, score: str, kind: str | None = None) -> tuple[Floats, Floats, Floats]:
        """Score, ml_confidence and outcome of the labelled rows that have this score."""
        chosen = np.isfinite(self.values[score]) & np.isfinite(self.hit)
        if kind is not None:
            chosen &= self.kind == kind
        return self.values[score][chosen], self.values["ml"][chosen], self.hit[chosen]


def read(connection: Connection) -> Rows:
    found = connection.execute(
        "select pattern_type, ml_confidence::float8, rule_confidence::float8, blended_confidence::float8, "
        "confidence::float8, outcome_label, (ml_metadata ->> 'threshold')::float8 "
        "from pattern_events where scored_at is not null order by id"
    ).fetchall()
    kind, ml, rule, blended, served, label, threshold = zip(*found, strict=True)
    hit = [np.nan if one is None else float(one == "positive") for one in label]
    values = {"ml": ml, "rule": rule, "blended": blended, "served": served}
    return Rows(
        np.array(kind), {name: np.array(v, dtype=np.float64) for name, v in values.items()}, np.array(hit), threshold[0]
    )


@pytest.fixture(scope="module")
def judged(server: Server, template: str) -> Iterator[Connection]:
    """Some 2,700 patterns, scored by a worker's engine; two thirds of them labelled, in part folded. Read only."""
    rng = np.random.default_rng(7)
    name = f"judged_{server.name}"
    with (
        DatabaseJanitor(user=server.user, host=server.host, port=server.port, dbname=name, template_dbname=template),
        psycopg.connect(server.url(name), autocommit=True) as connection,
    ):
        trained = np.interp((np.arange(400) + 0.5) / 400, *SHAPE).astype(np.float32)
        register_with_baseline(connection, positive=trained, sensitivity=2.0)
        for symbol in range(15):
            insert_bars(connection, random_bars(200, seed=symbol), symbol=f"S{symbol}")
        with connection.cursor() as cursor:
            cursor.executemany(
                "insert into pattern_events (symbol, timeframe, pattern_type, detected_at, entry, stoploss, target, "
                "confidence) values (%s, '1d', %s, %s, 100, 95, 110, %s)",
                [
                    (f"S{symbol}", "flag" if day % 3 else "wedge", at(day), float(rule) if rule < 0.9 else None)
                    for symbol in range(15)
                    for day, rule in zip(range(15, 195), np.round(rng.uniform(0.3, 0.95, 180), 2), strict=True)
                ],
            )
        engine = Engine(connection)
        engine.refresh_model()
        wait_until(lambda: engine.score_queue().done == 0, "an empty queue")
        rows = connection.execute(
            "select id, ml_confidence from pattern_events order by symbol, detected_at"
        ).fetchall()
        draw = rng.uniform(size=len(rows))
        labels = [
            "positive" if u < p else "neutral" if u > 0.95 else "negative" for u, (_, p) in zip(draw, rows, strict=True)
        ]
        for part in (slice(0, 900), slice(900, 1800)):
            label(connection, [row[0] for row in rows[part]], labels[part])
            if part.start == 0:
                connection.execute("select ml_internal.fold()")
        yield connection


def label(connection: Connection, ids: list[Any], outcomes: Sequence[str | None]) -> None:
    connection.execute(
        "select ml.label(id, outcome, 'test') from unnest(%s::uuid[], %s::text[]) l (id, outcome)", [ids, outcomes]
    )


def test_realised_figures_are_those_of_scikit_learn(judged: Connection) -> None:
    rows = read(judged)
    assert len(rows.hit) == 2700
    groups: list[tuple[str, str | None]] = [
        (ALL, None),
        ("cohort is null and detected_month is null and pattern_type = 'wedge' and timeframe is null", "wedge"),
        ("cohort = date_trunc('week', now(), 'UTC')::date and pattern_type = 'flag' and timeframe is null", "flag"),
    ]
    for where, kind in groups:
        for score in SCORES:
            found = only(judged, "performance_realised", score, where)
            p, _, hit = rows.of(score, kind)
            called = p >= rows.threshold
            assert found["labelled"] == len(p)
            assert found["matured"] == pytest.approx(len(p) / found["predictions"], abs=1e-12)
            assert found["brier"] == pytest.approx(brier_score_loss(hit, p), abs=1e-9)
            assert found["log_loss"] == pytest.approx(log_loss(hit, p), abs=1e-9)
            assert found["precision"] == pytest.approx(precision_score(hit, called), abs=1e-9)
            assert found["recall"] == pytest.approx(recall_score(hit, called), abs=1e-9)
            assert found["base_rate"] == pytest.approx(hit.mean(), abs=1e-9)
            assert found["roc_auc"] == pytest.approx(roc_auc_score(hit, p), abs=0.002)
            assert found["called"] == called.sum()
            for figure, k, n in (
                ("base_rate", hit.sum(), len(hit)),
                ("precision", (called & (hit > 0)).sum(), called.sum()),
                ("recall", (called & (hit > 0)).sum(), hit.sum()),
            ):
                interval = binomtest(int(k), int(n)).proportion_ci(0.95, "wilson")
                bounds = (found[f"{figure}_low"], found[f"{figure}_high"])
                assert bounds == pytest.approx((interval.low, interval.high), abs=1e-9)


def test_what_ml_adds_over_the_rule_is_sure_and_the_blend_less(judged: Connection) -> None:
    found = {
        (row["score"], row["baseline"]): row
        for row in view(judged, "performance_differences")
        if row["baseline"] in ("rule", "ml")
    }
    assert found["ml", "rule"]["high"] < 0, "labels were drawn from the model's probabilities, the rule knows nothing"
    assert found["ml", "rule"]["n"] < only(judged, "performance_realised", "ml")["labelled"]
    assert found["served", "ml"]["difference"] == 0, "the model alone is what is served by default"


def test_estimated_figures_need_no_label(judged: Connection) -> None:
    rows = read(judged)
    for score in SCORES:
        found = only(judged, "performance_estimated", score)
        known = np.isfinite(rows.values[score])
        s, m = rows.values[score][known], rows.values["ml"][known]
        called = s >= rows.threshold
        # Each row once as a positive with weight m, and once as another with weight 1 - m.
        twice, outcome, weight = np.tile(s, 2), np.repeat([1, 0], len(s)), np.concatenate([m, 1 - m])
        assert found["predictions"] == len(s)
        assert found["base_rate"] == pytest.approx(m.mean(), abs=1e-9)
        assert found["brier"] == pytest.approx(brier_score_loss(outcome, twice, sample_weight=weight), abs=1e-9)
        assert found["log_loss"] == pytest.approx(log_loss(outcome, twice, sample_weight=weight), abs=1e-9)
        assert found["precision"] == pytest.approx(m[called].mean(), abs=1e-9)
        assert found["recall"] == pytest.approx(m[called].sum() / m.sum(), abs=1e-9)
        assert found["roc_auc"] == pytest.approx(roc_auc_score(outcome, twice, sample_weight=weight), abs=0.002)


def test_the_gap_is_what_the_model_did_not_expect(judged: Connection) -> None:
    rows = read(judged)
    for score in SCORES:
        found = only(judged, "performance_gap", score)
        s, m, hit = rows.of(score)
        expected = np.mean(s**2 - 2 * s * m + m)
        error = np.sqrt(np.sum((1 - 2 * s) ** 2 * m * (1 - m))) / len(s)
        assert found["n"] == len(s)
        assert found["brier_expected"] == pytest.approx(expected, abs=1e-9)
        assert found["gap"] == pytest.approx(brier_score_loss(hit, s) - expected, abs=1e-9)
        assert found["standard_error"] == pytest.approx(error, abs=1e-9)
        assert found["z"] == pytest.approx(found["gap"] / error, abs=1e-6)
        assert found["base_rate_expected"] == pytest.approx(m.mean(), abs=1e-9)
        assert found["precision_expected"] == pytest.approx(m[s >= rows.threshold].mean(), abs=1e-9)
        assert found["level"] is None
    assert only(judged, "performance_gap", "ml")["z"] == pytest.approx(
        only(judged, "calibration_summary", "ml")["spiegelhalter_z"], abs=1e-9
    ), "of the model itself the two are the same test"


def test_calibration_is_that_of_numpy_on_the_same_edges(judged: Connection) -> None:
    rows = read(judged)
    (edges,) = judged.execute("select calibration_edges from ml.models").fetchone() or ([],)
    assert len(edges) == 9
    for score in SCORES:
        found = only(judged, "calibration_summary", score)
        p, _, hit = rows.of(score)
        limits = np.array(edges) if score == "ml" else TENTHS
        place = np.searchsorted(limits, p, side="right")
        bins = {row["bin"]: row for row in view(judged, "calibration", f"score = '{score}' and {ALL}")}
        assert set(bins) == set(np.unique(place) + 1)
        ece = variance = spread = 0.0
        for number, row in bins.items():
            inside = place == number - 1
            assert row["n"] == inside.sum()
            assert row["predicted"] == pytest.approx(p[inside].mean(), abs=1e-9)
            assert row["observed"] == pytest.approx(hit[inside].mean(), abs=1e-9)
            interval = binomtest(int(hit[inside].sum()), int(inside.sum())).proportion_ci(0.95, "wilson")
            assert (row["observed_low"], row["observed_high"]) == pytest.approx((interval.low, interval.high), abs=1e-9)
            assert row["low"] <= p[inside].min() <= p[inside].max() < row["high"] or row["high"] == 1
            ece += abs(hit[inside].mean() - p[inside].mean()) * inside.mean()
            mean = p[inside].mean()
            spread += np.sqrt(inside.sum() * mean * (1 - mean))
            variance += inside.sum() * mean * (1 - mean)
        z = np.sum((hit - p) * (1 - 2 * p)) / np.sqrt(np.sum((1 - 2 * p) ** 2 * p * (1 - p)))
        assert found["ece"] == pytest.approx(ece, abs=1e-9)
        assert found["ece_expected"] == pytest.approx(np.sqrt(2 / np.pi) * spread / len(p), abs=1e-9)
        assert found["ece_deviation"] == pytest.approx(np.sqrt((1 - 2 / np.pi) * variance) / len(p), abs=1e-9)
        assert found["ece_excess"] == pytest.approx(found["ece"] - found["ece_expected"], abs=1e-12)
        assert found["brier"] == pytest.approx(brier_score_loss(hit, p), abs=1e-9)
        assert found["log_loss"] == pytest.approx(log_loss(hit, p), abs=1e-9)
        assert found["observed_expected"] == pytest.approx(hit.sum() / p.sum(), abs=1e-9)
        assert found["spiegelhalter_z"] == pytest.approx(z, abs=1e-6)
        assert found["p_value"] == pytest.approx(2 * norm.sf(abs(z)), rel=1e-6, abs=1e-300)
    assert only(judged, "calibration_summary", "ml")["level"] is None
    assert only(judged, "calibration_summary", "rule")["level"] == "critical", "the rule was never a probability"


def test_a_calibrated_model_shows_the_error_that_is_expected_of_one(judged: Connection) -> None:
    rows = read(judged)
    p, _, _ = rows.of("ml")
    (edges,) = judged.execute("select calibration_edges from ml.models").fetchone() or ([],)
    place = np.searchsorted(edges, p, side="right")
    rng = np.random.default_rng(11)
    surplus = (rng.uniform(size=(4000, len(p))) < p) - p
    drawn = np.abs(surplus @ np.eye(len(edges) + 1)[place]).sum(axis=1) / len(p)
    found = only(judged, "calibration_summary", "ml")
    assert found["ece_expected"] == pytest.approx(drawn.mean(), rel=0.03)
    assert found["ece_deviation"] == pytest.approx(drawn.std(), rel=0.06)


def test_every_reader_reads_every_view(judged: Connection) -> None:
    views = ("calibration", "calibration_summary", "performance_realised", "performance_estimated", "performance_gap")
    for role in ("ml_analyst", "ml_operator", "ml_worker", "ml_publisher"):
        with judged.transaction():
            judged.execute(f"set local role {role}".encode())
            for name in views:
                assert view(judged, name), name


# How labels arrive


@pytest.fixture
def engine(connection: Connection) -> Engine:
    insert_bars(connection)
    register_with_baseline(connection, sensitivity=3.0)
    engine = Engine(connection)
    engine.refresh_model()
    return engine


def figures(connection: Connection, source: str = "live") -> list[dict[str, Any]]:
    return [
        row
        for name in (
            "performance_realised",
            "performance_estimated",
            "performance_gap",
            "calibration_summary",
            "calibration",
        )
        for row in sorted(view(connection, name, f"source = '{source}'"), key=lambda row: sorted(map(str, row.items())))
    ]


def counted(connection: Connection, where: str = ALL) -> tuple[int, int, int]:
    """Predictions, labelled and positives of the model."""
    row = connection.execute(
        "select coalesce(sum(predictions), 0)::int, coalesce(sum(labelled), 0)::int, coalesce(sum(positives), 0)::int "
        f"from ml_internal.cohort_counts where score = 'ml' and {where}".encode()
    ).fetchone()
    assert row is not None
    return row


def same(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> bool:
    key = ("score", "cohort", "pattern_type", "timeframe", "bin", "predictions", "n")

    def ordered(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return sorted(rows, key=lambda row: (len(row), sorted(row), [str(row.get(name)) for name in key]))

    def equal(a: Any, b: Any) -> bool:
        return bool(a == (pytest.approx(b, abs=1e-9) if isinstance(b, float) else b))

    return len(one) == len(other) and all(
        set(a) == set(b) and all(equal(a[name], b[name]) for name in a)
        for a, b in zip(ordered(one), ordered(other), strict=True)
    )


def test_a_relabel_subtracts_and_a_fold_changes_nothing(connection: Connection, engine: Engine) -> None:
    ids = [insert_pattern(connection, detected_at=at(day), pattern_type="flag") for day in range(100, 140)]
    engine.score_queue()
    label(connection, ids, ["positive", "negative"] * 20)
    before = figures(connection)
    assert counted(connection) == (40, 40, 20)
    connection.execute("select ml_internal.fold()")
    assert same(figures(connection), before)

    # The type of a row may change after it was scored; what was counted is taken from where it was counted.
    connection.execute("update pattern_events set pattern_type = 'wedge' where id = any (%s::uuid[])", [ids[:10]])
    label(connection, ids[:20], ["negative", "positive"] * 10)
    label(connection, ids[20:30], [None] * 10)
    assert counted(connection) == (40, 30, 15)
    assert counted(connection, "pattern_type = 'wedge'") == (0, 0, 0)
    connection.execute("select ml_internal.fold()")
    label(connection, ids[20:30], ["positive", "negative"] * 5)
    label(connection, ids[:20], ["positive", "negative"] * 10)
    assert same(figures(connection), before)
    label(connection, ids, [None] * 40)
    connection.execute("select ml_internal.fold()")
    assert counted(connection) == (40, 0, 0)
    assert view(connection, "calibration") == view(connection, "performance_gap") == []
    row = only(connection, "performance_realised", "ml")
    assert (row["matured"], row["brier"], row["roc_auc"], row["precision"]) == (0, None, None, None)


def test_a_backfill_is_kept_apart_and_finds_the_labels_that_are_there(connection: Connection, engine: Engine) -> None:
    live = [insert_pattern(connection, detected_at=at(day)) for day in range(100, 104)]
    engine.score_queue()
    label(connection, live, ["positive"] * 4)
    before = figures(connection)
    old = [insert_pattern(connection, detected_at=at(day)) for day in range(110, 116)]
    connection.execute("delete from ml.queue")
    label(connection, old[:5], ["negative"] * 5)
    for pattern in old:
        write(connection, pattern, [])
    label(connection, old, ["negative"] * 5 + ["positive"])
    assert same(figures(connection), before)
    assert counted(connection, f"source = 'backfill' and {ALL}") == (6, 6, 1)
    assert counted(connection, f"source = 'live' and {ALL}") == (4, 4, 4)


def write(connection: Connection, pattern: str, queue: list[int]) -> None:
    """One score through the worker's function, in the transaction of the connection; a backfill has no queue row."""
    statement, parameters = write_batch(connection, [pattern], [0.6], enqueued_at=at(0) if queue else None, quality=1)
    source = "live" if queue else "backfill"
    connection.execute(statement, parameters | {"queue_ids": queue, "source": source, "rescore": False})


def queued(connection: Connection) -> list[int]:
    return [row[0] for row in connection.execute("select id from ml.queue").fetchall()]


def waiting(connection: Connection) -> bool:
    return connection.execute(
        "select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')"
    ).fetchone() == (True,)


def test_a_label_beside_a_score_that_is_not_committed_is_counted_once(connection: Connection, engine: Engine) -> None:
    pattern = insert_pattern(connection)
    with (
        psycopg.connect(connection.info.dsn) as scorer,
        psycopg.connect(connection.info.dsn, autocommit=True) as analyst,
    ):
        write(scorer, pattern, queued(connection))
        assert connection.execute("select ml.label_outcomes()").fetchone() == (0,), "the machine passes it over"
        labels = threading.Thread(target=label, args=(analyst, [pattern], ["positive"]))
        labels.start()
        wait_until(lambda: waiting(connection), "the label of a person waits for the score")
        assert counted(connection) == (0, 0, 0)
        scorer.commit()
        labels.join(20)
    assert counted(connection) == (1, 1, 1)


def test_a_label_of_the_machine_after_a_score_is_counted_once(connection: Connection, engine: Engine) -> None:
    pattern = insert_pattern(connection)
    write(connection, pattern, queued(connection))
    assert connection.execute("select ml.label_outcomes()").fetchone() == (1,)
    assert counted(connection)[:2] == (1, 1)


@pytest.mark.parametrize("source", ["live", "backfill"])
def test_a_score_beside_a_label_that_is_not_committed_is_counted_once(
    connection: Connection, engine: Engine, source: str
) -> None:
    pattern = insert_pattern(connection)
    queue = queued(connection) if source == "live" else []
    with (
        psycopg.connect(connection.info.dsn) as analyst,
        psycopg.connect(connection.info.dsn, autocommit=True) as scorer,
    ):
        label(analyst, [pattern], ["positive"])
        if source == "live":
            write(scorer, pattern, queue)
            assert queued(connection) == queue, "it is passed over, and stays in the queue"
            analyst.commit()
            write(scorer, pattern, queue)
            assert queued(connection) == []
        else:
            scores = threading.Thread(target=write, args=(scorer, pattern, queue))
            scores.start()
            wait_until(lambda: waiting(connection), "the score waits for the label")
            analyst.commit()
            scores.join(20)
    condition = f"source = '{source}' and {ALL}"
    assert counted(connection, condition) == (1, 1, 1)
    connection.execute("select ml_internal.fold()")
    assert counted(connection, condition) == (1, 1, 1)


def test_a_model_that_is_worse_than_it_knows_is_called_so(connection: Connection, engine: Engine) -> None:
    connection.execute("select ml.set('label_min_rows', 100, 'test')")
    ids = [insert_pattern(connection, detected_at=at(day)) for day in range(20, 190) for _ in range(2)]
    wait_until(lambda: engine.score_queue().done == 0, "an empty queue")
    sure = connection.execute("select id, ml_confidence < 0.5 from pattern_events order by ml_confidence").fetchall()
    label(connection, [row[0] for row in sure], ["positive" if row[1] else "negative" for row in sure])
    gap = only(connection, "performance_gap", "ml")
    assert gap["level"] == "critical", gap
    assert gap["z"] > 3
    assert only(connection, "calibration_summary", "ml")["level"] == "critical"
    connection.execute("select ml.set('label_min_rows', 1000, 'test')")
    assert len(ids) < 1000
    assert only(connection, "performance_gap", "ml")["level"] is None
    assert only(connection, "calibration_summary", "ml")["level"] is None
