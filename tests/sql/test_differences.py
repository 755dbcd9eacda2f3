"""Counts of five scores and of their differences equal brute force on the rows, whatever became of the labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from psycopg.rows import dict_row, namedtuple_row
from psycopg.types.json import Jsonb
from scipy import stats

from db_functions.database import Connection
from tests.sql_support import write_batch
from tests.support import insert_pattern, small_model

pytestmark = [pytest.mark.compat, pytest.mark.usefixtures("within_an_hour")]

Floats = NDArray[np.float64]
SCORES = ("ml", "rule", "blended", "served", "first_passage")
PAIRS = (
    ("ml", "rule"),
    ("ml", "first_passage"),
    ("ml", "base_rate"),
    ("served", "rule"),
    ("served", "first_passage"),
    ("served", "base_rate"),
    ("served", "ml"),
)
EDGE = datetime(2021, 3, 1, tzinfo=UTC)
WEEKS = {"1d": 4, "1h": 1, "1w": 20}
GROUPS = (
    (), ("pattern_type",), ("timeframe",), ("pattern_type", "timeframe"), ("cohort",), ("cohort", "pattern_type"),
    ("cohort", "timeframe"), ("detected_month",), ("detected_month", "pattern_type"), ("detected_month", "timeframe"),
)  # fmt: skip


def promote(connection: Connection, version: str) -> None:
    connection.execute(
        "select ml_internal.register_model(%s, 'test', %s, 1, '{bars}', '{ml_confidence,probabilities,features}', "
        "'{first_passage_target}', 5, %s, '', '{}', '{}', null)",
        [version, small_model(version), Jsonb({"fitted_until": 0, "trained": {"test_from": EDGE.timestamp()}})],
    )
    connection.execute("select ml_internal.record_parity(%s, 0, 1e-5, 8, 'test')", [version])
    connection.execute("select ml.promote(%s, 'test')", [version])


def score(connection: Connection, rng: np.random.Generator, ids: Sequence[str], live: bool) -> None:
    features = rng.uniform(-0.2, 1, (len(ids), 1)).astype(np.float32)
    reasons = [None if u < 0.9 else "low_quality" for u in rng.random(len(ids))]
    statement, parameters = write_batch(
        connection, ids, np.round(rng.random(len(ids)), 3).tolist(), reasons,
        enqueued_at=datetime.now(UTC) if live else None, features=features,
    )  # fmt: skip
    connection.execute(statement, parameters | {"source": "live" if live else "backfill"})


def label(connection: Connection, rng: np.random.Generator, ids: Sequence[str]) -> None:
    outcomes = rng.choice(np.array(["positive", "negative", "neutral", None], object), len(ids))
    connection.execute(
        "select ml.label(id, outcome, 'test') from unnest(%s::uuid[], %s::text[]) l (id, outcome)",
        [list(ids), outcomes.tolist()],
    )


def fold(connection: Connection) -> None:
    connection.execute("select ml_internal.fold()")


class Row(NamedTuple):
    """A prediction and what became of its pattern, as told by the rows themselves; ``y`` is None without a label."""

    model_version: str
    role: str
    source: str
    cohort: date
    detected_month: date
    detected_at: datetime
    pattern_type: str
    timeframe: str
    ml: float
    rule: float | None
    blended: float | None
    served: float | None
    first_passage: float | None
    y: float | None


@pytest.fixture
def judged(connection: Connection) -> Connection:
    """Labels given, changed, taken back; rows scored again, live and backfilled, by two models; folds in between."""
    rng = np.random.default_rng(12)
    connection.execute("select ml.set('threshold', 0.55, 'test'), ml.set('ml_weight', 0.7, 'test')")
    promote(connection, "one")
    start = EDGE - timedelta(days=60)
    ids = [
        insert_pattern(
            connection,
            detected_at=start + timedelta(days=float(day)),
            pattern_type=str(rng.choice(["flag", "wedge"])),
            timeframe=str(rng.choice(list(WEEKS))),
            confidence=None if rng.random() < 0.2 else round(float(rng.random()), 3),
        )
        for day in rng.uniform(0, 260, 150)
    ]
    some = rng.permutation(ids).tolist()
    label(connection, rng, some[:60])
    score(connection, rng, ids, live=False)
    fold(connection)
    label(connection, rng, some[30:110])
    connection.execute("select ml.disable('test')")
    score(connection, rng, some[:40], live=True)
    connection.execute("select ml.enable('test')")
    promote(connection, "two")
    score(connection, rng, some[40:120], live=True)
    label(connection, rng, some[:90])
    fold(connection)
    connection.execute("update ml_internal.batches set at = at - interval '1 day'")
    label(connection, rng, some[50:140])
    return connection


def rows_of(connection: Connection) -> list[Row]:
    with connection.cursor(row_factory=namedtuple_row) as cursor:
        found = cursor.execute(
            """select m.version as model_version, s.role,
                      case when s.detected_at < %s then 'seen_in_training' when s.latency_ms is null then 'backfill'
                           else 'live' end as source,
                      date_trunc('week', s.scored_at, 'UTC')::date as cohort,
                      date_trunc('month', p.detected_at, 'UTC')::date as detected_month, p.detected_at,
                      p.pattern_type, p.timeframe, s.ml_confidence::float8 as ml, s.rule_confidence as rule,
                      s.blended_confidence as blended, s.served, s.first_passage::float8 as first_passage,
                      (p.outcome_label = 'positive')::integer::float8 as y
               from ml.predictions s join ml.models m on m.id = s.model_id
               join pattern_events p on p.id = s.pattern_id""",
            [EDGE],
        ).fetchall()
    return [Row(*row) for row in found]


def grouped(rows: list[Row], groups: Sequence[tuple[str, ...]]) -> Iterator[tuple[dict[str, Any], list[Row]]]:
    for names in groups:
        keys = ("model_version", "role", "source", *names)
        members: dict[tuple[Any, ...], list[Row]] = {}
        for row in rows:
            members.setdefault(tuple(getattr(row, name) for name in keys), []).append(row)
        for key, own in members.items():
            yield dict(zip(keys, key, strict=True)), own


def view(connection: Connection, name: str) -> dict[frozenset[tuple[str, Any]], dict[str, Any]]:
    """Rows by their keys, nulls left out."""
    keys = ("model_version", "role", "source", "cohort", "detected_month", "pattern_type", "timeframe", "score")
    with connection.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(f"select * from ml.{name}".encode()).fetchall()
    names = (*keys, "baseline")
    by_key = {frozenset((name, row[name]) for name in names if row.get(name) is not None): row for row in found}
    assert len(by_key) == len(found)
    return by_key


def test_cohorts_of_every_score_equal_the_rows(judged: Connection) -> None:
    rows = rows_of(judged)
    assert {row.source for row in rows} == {"live", "backfill", "seen_in_training"}
    for _ in range(2):
        left = view(judged, "performance_realised")
        for key, own in grouped(rows, GROUPS):
            for name in SCORES:
                with_score = [row for row in own if getattr(row, name) is not None]
                if not with_score:
                    continue
                row = left.pop(frozenset((key | {"score": name}).items()))
                s, y = arrays(with_score, name)
                assert (row["predictions"], row["labelled"]) == (len(with_score), len(s)), key
                if len(s):
                    assert row["base_rate"] == pytest.approx(y.mean())
                    assert row["brier"] == pytest.approx(np.mean((s - y) ** 2)), (key, name)
        assert not left, "nothing else is shown"
        fold(judged)


def arrays(rows: list[Row], name: str) -> tuple[Floats, Floats]:
    labelled = [row for row in rows if row.y is not None and getattr(row, name) is not None]
    return np.array([getattr(row, name) for row in labelled], float), np.array([row.y for row in labelled], float)


def difference(rows: list[Row], score: str, baseline: str) -> dict[str, Any] | None:
    """As the view should have it: errors by blocks of whole weeks from a Monday on."""
    own = [row for row in rows if row.y is not None and getattr(row, score) is not None]
    weeks = max((WEEKS[row.timeframe] for row in rows if row.y is not None), default=0)
    if baseline != "base_rate":
        own = [row for row in own if getattr(row, baseline) is not None]
    if not own:
        return None
    y = np.array([row.y for row in own], float)
    p = np.array([getattr(row, score) for row in own], float)
    q = np.full(len(own), y.mean()) if baseline == "base_rate" else np.array([getattr(row, baseline) for row in own])
    d = (p - y) ** 2 - (q - y) ** 2
    monday = datetime(1970, 1, 5, tzinfo=UTC)
    block = np.array([(row.detected_at - monday).days // 7 // weeks for row in own])
    found = np.unique(block)
    k = len(found)
    sums = np.array([np.sum(d[block == one] - d.mean()) for one in found])
    error = np.sqrt(k / (k - 1) * np.sum(sums**2)) / len(d) if k > 1 else None
    return {"n": len(d), "blocks": k, "block_days": 7 * weeks, "difference": d.mean(), "standard_error": error}


def test_differences_equal_the_rows_by_blocks(judged: Connection) -> None:
    rows = rows_of(judged)
    for _ in range(2):
        left = view(judged, "performance_differences")
        several = 0
        for key, own in grouped(rows, [names for names in GROUPS if len(names) < 2]):
            for score, baseline in PAIRS:
                expected = difference(own, score, baseline)
                if expected is None:
                    continue
                row = left.pop(frozenset((key | {"score": score, "baseline": baseline}).items()))
                found = {name: row[name] for name in expected}
                assert found == pytest.approx(expected, abs=1e-12), (key, score, baseline)
                if expected["blocks"] > 5:
                    several += 1
                    half = stats.t.ppf(0.975, expected["blocks"] - 1) * expected["standard_error"]
                    middle = expected["difference"]
                    assert (row["low"], row["high"]) == pytest.approx((middle - half, middle + half), rel=0.01)
        assert not left, "nothing else is shown"
        assert several > 20
        fold(judged)


def test_a_pattern_that_is_deleted_stays_counted(judged: Connection) -> None:
    before = [view(judged, name) for name in ("performance_realised", "performance_differences")]
    judged.execute("delete from pattern_events where pattern_type = 'flag'")
    fold(judged)
    after = [view(judged, name) for name in ("performance_realised", "performance_differences")]
    for one, other in zip(before, after, strict=True):
        assert one.keys() == other.keys()
        for key, row in one.items():
            assert other[key] == pytest.approx(row, abs=1e-12)


@pytest.mark.parametrize(
    ("timeframe", "horizon", "weeks"),
    [
        ("1d", 20, 4), ("1d", 21, 5), ("D", 20, 4), ("1h", 20, 1), ("4h", 20, 3), ("1H", 40, 2), ("15m", 20, 1),
        ("1m", 1000, 1), ("1w", 20, 20), ("1M", 20, 87), ("1mo", 20, 87), ("daily", 20, 4), ("tick", 20, 4), ("", 1, 1),
    ],
)  # fmt: skip
def test_a_block_holds_a_label_horizon(transaction: Connection, timeframe: str, horizon: int, weeks: int) -> None:
    assert transaction.execute("select ml_internal.block_weeks(%s, %s)", [timeframe, horizon]).fetchone() == (weeks,)
