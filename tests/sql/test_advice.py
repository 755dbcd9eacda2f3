"""What other settings would have served, which would have served best, and skill: each equal to NumPy on the rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import psycopg
import pytest
from numpy.typing import NDArray
from psycopg.rows import dict_row
from scipy.stats import t as student

import training.cli
import worker.cli
from db_functions.database import Connection
from tests.sql_support import write_scores
from tests.support import insert_bars, insert_pattern, make_champion
from training import blend, skill

pytestmark = pytest.mark.compat

Floats = NDArray[np.float64]

START = datetime(2019, 1, 1, 21, tzinfo=UTC)
COUNT = 900
DAYS = 2.2
BLOCK_DAYS = 98
EXACT = 1e-12
CLIP = 2.220446049250313e-16
THRESHOLDS = np.arange(50, 101) / 100
KINDS = ("flag", "wedge")


@dataclass(frozen=True)
class Rows:
    """The scored rows that were inserted, in the order of time; ``rule`` is NaN where there was none."""

    ids: list[str]
    day: NDArray[np.int64]
    kind: NDArray[Any]
    y: Floats
    ml: Floats
    rule: Floats
    served: Floats
    low_quality: NDArray[np.bool_]

    def take(self, chosen: NDArray[np.bool_]) -> Rows:
        return Rows(
            [one for one, kept in zip(self.ids, chosen, strict=True) if kept],
            self.day[chosen],
            self.kind[chosen],
            self.y[chosen],
            self.ml[chosen],
            self.rule[chosen],
            self.served[chosen],
            self.low_quality[chosen],
        )


def read(connection: Connection, statement: str, *parameters: Any) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement.encode(), parameters).fetchall()


def label(connection: Connection, ids: list[str], y: Floats) -> None:
    connection.execute(
        "select ml_internal.write_labels(%(ids)s, %(labels)s, array(select detected_at + interval '14 days' "
        "from unnest(%(ids)s::uuid[]) with ordinality u (id, n) join pattern_events p using (id) order by n), "
        "%(none)s, %(none)s, %(none)s, %(bars)s, 'automatic')",
        {
            "ids": ids,
            "labels": ["positive" if hit else "negative" for hit in y],
            "none": [0.0] * len(ids),
            "bars": [10] * len(ids),
        },
    )


def insert_rows(connection: Connection, seed: int = 1, count: int = COUNT) -> Rows:
    """Live rows of a champion over five years, two in three of them blended by the settings that stood."""
    rng = np.random.default_rng(seed)
    when = [START + timedelta(days=DAYS * number) for number in range(count)]
    kind = np.where(rng.random(count) < 0.4, *KINDS)
    ml = rng.uniform(0.1, 0.9, count).astype(np.float32)
    rule = np.where(rng.random(count) < 0.1, np.nan, rng.uniform(0, 1, count))
    low = rng.random(count) < 0.05
    ids = [
        insert_pattern(
            connection,
            detected_at=moment,
            pattern_type=str(name),
            timeframe="1d" if number % 3 else "4h",
            confidence=None if np.isnan(own) else float(own),
        )
        for number, (moment, name, own) in enumerate(zip(when, kind, rule, strict=True))
    ]
    write_scores(connection, ids, ml.tolist(), ["low_quality" if bad else None for bad in low], enqueued_at=START)
    y = (rng.random(count) < 0.7 * ml + 0.3 * np.nan_to_num(rule, nan=0.5)).astype(np.float64)
    label(connection, ids, y)
    served = np.array(
        [
            row["served"]
            for row in read(connection, "select confidence as served from pattern_events order by detected_at")
        ],
        dtype=np.float64,
    )
    day = np.array([(moment - datetime(1970, 1, 1, tzinfo=UTC)).days for moment in when])
    return Rows(ids, day, kind, y, ml.astype(np.float64), rule, served, low)


@pytest.fixture
def champion(connection: Connection) -> Connection:
    insert_bars(connection)
    make_champion(connection, "small")
    connection.execute("select ml.set('threshold', 0.6, 'test'), ml.set('ml_weight', 0.6, 'test'), "
                       "ml.set('rule_weight', 0.4, 'test')")  # fmt: skip
    return connection


@pytest.fixture
def rows(champion: Connection) -> Rows:
    return insert_rows(champion)


# What if


def block_of(rows: Rows) -> NDArray[np.int64]:
    return rows.day * 3 // BLOCK_DAYS


def interval(values: Floats, block: NDArray[np.int64]) -> tuple[float, float, float]:
    """The mean and its interval, by sums over blocks."""
    mean = values.mean()
    _, member = np.unique(block, return_inverse=True)
    count = member.max() + 1
    error = np.sqrt(count / (count - 1) * np.sum(np.bincount(member, values - mean) ** 2)) / len(values)
    half = student.ppf(0.975, count - 1) * error
    return mean, mean - half, mean + half


def blended(rows: Rows, threshold: float, ml_weight: float, rule_weight: float) -> tuple[Floats, NDArray[np.bool_]]:
    """What would have been served, and whether by the blend, one row after the other."""
    would, by_blend = np.full(len(rows.y), np.nan), np.zeros(len(rows.y), bool)
    for number, (ml, rule, low) in enumerate(zip(rows.ml, rows.rule, rows.low_quality, strict=True)):
        alone = np.isnan(rule)
        by_blend[number] = not low and (alone or max(ml, 1 - ml) >= threshold)
        mixed = ml if alone else min(1.0, max(0.0, ml_weight * ml + rule_weight * rule))
        would[number] = mixed if by_blend[number] else rule
    return would, by_blend


def ece(would: Floats, y: Floats) -> float:
    bins = np.digitize(would, np.arange(1, 10) / 10)
    return float(sum(abs(np.sum(y[bins == one]) - np.sum(would[bins == one])) for one in range(10)) / len(y))


@pytest.mark.parametrize(
    ("threshold", "ml_weight", "rule_weight"),
    [(0.5, 1.0, 0.0), (0.55, 0.6, 0.4), (0.7, 0.9, 0.8), (0.5, 0.0, 1.0), (1.0, 0.5, 0.5), (None, None, None)],
)
def test_what_if_equals_the_rows_one_by_one(
    champion: Connection, rows: Rows, threshold: float | None, ml_weight: float | None, rule_weight: float | None
) -> None:
    since = START + timedelta(days=400)
    kept = rows.take(rows.day >= (since.replace(hour=0) - datetime(1970, 1, 1, tzinfo=UTC)).days)
    (found,) = read(
        champion, "select * from ml.what_if(%s, %s, %s, %s)", threshold, ml_weight, rule_weight, since.replace(hour=0)
    )
    settings = (0.6 if threshold is None else threshold, 0.6 if ml_weight is None else ml_weight,
                0.4 if rule_weight is None else rule_weight)  # fmt: skip
    would, by_blend = blended(kept, *settings)
    assert 0 < len(kept.y) < COUNT
    assert (found["rows"], found["blended"]) == (len(kept.y), by_blend.sum())
    assert found["share"] == pytest.approx(by_blend.mean(), abs=EXACT)
    is_served = ~np.isnan(would)
    p, y, block = would[is_served], kept.y[is_served], block_of(kept)[is_served]
    assert found["brier"] == pytest.approx(np.mean((p - y) ** 2), abs=EXACT)
    assert found["log_loss"] == pytest.approx(np.mean(-np.log(np.maximum(np.where(y == 1, p, 1 - p), CLIP))), abs=EXACT)
    assert found["ece"] == pytest.approx(ece(p, y), abs=EXACT)
    for name, other in (("served", kept.served), ("rule", kept.rule), ("ml", kept.ml)):
        both = ~np.isnan(other[is_served])
        gain = ((other[is_served] - y) ** 2 - (p - y) ** 2)[both]
        mean, low, high = interval(gain, block[both])
        assert found[f"gain_over_{name}"] == pytest.approx(mean, abs=EXACT)
        # The quantile of Student's t is an expansion.
        assert found[f"gain_over_{name}_low"] == pytest.approx(low, abs=1e-6)
        assert found[f"gain_over_{name}_high"] == pytest.approx(high, abs=1e-6)
    assert found["blocks"] == len(np.unique(block_of(kept)))
    assert found["block"] == timedelta(days=BLOCK_DAYS / 3)


def test_what_if_of_now_is_what_was_served(champion: Connection, rows: Rows) -> None:
    (found,) = read(champion, "select rows, gain_over_served from ml.what_if()")
    assert found["rows"] == len(rows.y)
    assert found["gain_over_served"] == pytest.approx(0, abs=EXACT)


def test_an_analyst_may_ask_and_changes_nothing(champion: Connection, rows: Rows) -> None:
    del rows
    history = read(champion, "select * from ml.settings_history")
    champion.execute("set role ml_analyst")
    for call in ("ml.what_if(0.5, 1, 0)", "ml.blend_advice()", "ml.skill", "ml_internal.evidence"):
        assert read(champion, f"select * from {call}")
    champion.execute("reset role")
    assert read(champion, "select * from ml.settings_history") == history


@pytest.mark.parametrize("wrong", ["threshold => 2", "ml_weight => -0.1", "rule_weight => 'NaN'"])
def test_a_setting_that_cannot_be_is_named(connection: Connection, wrong: str) -> None:
    connection.execute("set role ml_analyst")
    with pytest.raises(
        psycopg.errors.InvalidParameterValue, match=rf"{wrong.split()[0]} cannot be .*; allowed: 0 to 1"
    ):
        connection.execute(f"select * from ml.what_if({wrong})")


def test_without_rows_nothing_is_claimed(champion: Connection) -> None:
    (found,) = read(champion, "select rows, blended, brier, gain_over_rule from ml.what_if(0.5)")
    assert found == {"rows": 0, "blended": 0, "brier": None, "gain_over_rule": None}
    (advice,) = read(champion, "select rows, threshold, ml_weight, advice from ml.blend_advice()")
    assert (advice["rows"], advice["threshold"], advice["ml_weight"]) == (0, None, None)
    assert advice["advice"]
    (weight,) = read(champion, "select * from ml_internal.best_weight(1)")
    assert weight == {"ml_weight": None, "standard_error": None, "rows": 0, "blocks": 0}
    assert read(champion, "select * from ml.skill") == []


# Advice


def movable(rows: Rows) -> Rows:
    return rows.take(~np.isnan(rows.rule) & ~rows.low_quality)


def test_the_best_weight_is_that_of_the_regression(champion: Connection, rows: Rows) -> None:
    own = movable(rows)
    x, e = own.ml - own.rule, own.y - own.rule
    found = read(champion, "select * from ml_internal.best_weight((select model_id from ml_internal.champion))")[0]
    assert found["ml_weight"] == pytest.approx(np.sum(x * e) / np.sum(x * x), abs=EXACT)
    # With rows enough its prior is nothing: training's formula, and its error to the letter at the same weight.
    many = blend.weigh(np.tile(x, 50), np.tile(e, 50), np.tile(block_of(own), 50), 1.0)
    assert found["ml_weight"] == pytest.approx(many.ml_weight, abs=1e-3)
    assert found["standard_error"] == pytest.approx(many.standard_error, rel=1e-3)
    assert (found["rows"], found["blocks"]) == (len(own.y), len(np.unique(block_of(own))))


def brier(rows: Rows, threshold: float, weight: float) -> Floats:
    """The squared error of each row, where the blend is not clipped."""
    by_blend = np.maximum(rows.ml, 1 - rows.ml) >= threshold
    return np.asarray((np.where(by_blend, weight * rows.ml + (1 - weight) * rows.rule, rows.rule) - rows.y) ** 2)


def best(rows: Rows) -> tuple[float, float]:
    """Threshold and weight by search: every threshold of the grid, at each the weight by ever finer grids."""
    found = []
    for threshold in THRESHOLDS:
        low, high = 0.0, 1.0
        for _ in range(12):
            grid = np.linspace(low, high, 21)
            weight = grid[np.argmin([brier(rows, threshold, one).mean() for one in grid])]
            low, high = max(0.0, weight - (high - low) / 20), min(1.0, weight + (high - low) / 20)
        found.append((brier(rows, threshold, weight).mean(), threshold, weight))
    return min(found)[1:]


def test_the_advice_is_that_of_a_grid_search(champion: Connection, rows: Rows) -> None:
    own = movable(rows)
    (found,) = read(champion, "select * from ml.blend_advice()")
    threshold, weight = best(own)
    assert found["threshold"] == threshold
    assert found["ml_weight"] == pytest.approx(weight, abs=1e-6)
    assert found["rule_weight"] == pytest.approx(1 - found["ml_weight"], abs=EXACT)
    advised = brier(own, threshold, found["ml_weight"])
    assert found["brier"] == pytest.approx(advised.mean(), abs=EXACT)
    assert found["share"] == pytest.approx(np.mean(np.maximum(own.ml, 1 - own.ml) >= threshold), abs=EXACT)
    would, _ = blended(own, 0.6, 0.6, 0.4)
    assert found["present_brier"] == pytest.approx(np.mean((would - own.y) ** 2), abs=EXACT)
    not_worse = []
    for other in THRESHOLDS:
        upper = np.maximum(own.ml, 1 - own.ml) >= other
        x, e = (own.ml - own.rule)[upper], (own.y - own.rule)[upper]
        w = np.clip(np.sum(x * e) / np.sum(x * x), 0, 1) if len(x) else 1.0
        if interval(brier(own, other, w) - advised, block_of(own))[1] <= 0:
            not_worse.append(other)
    assert (found["threshold_low"], found["threshold_high"]) == (min(not_worse), max(not_worse))


def test_what_advice_gains_is_measured_on_rows_that_had_no_part_in_it(champion: Connection, rows: Rows) -> None:
    own = movable(rows)
    _, rank = np.unique(block_of(own), return_inverse=True)
    first = rank < (rank.max() + 2) // 2
    now = (blended(own, 0.6, 0.6, 0.4)[0] - own.y) ** 2
    gain = np.where(first, now - brier(own, *best(own.take(~first))), now - brier(own, *best(own.take(first))))
    mean, low, high = interval(gain, block_of(own))
    (found,) = read(champion, "select * from ml.blend_advice()")
    assert found["gain"] == pytest.approx(mean, abs=1e-9)
    assert (found["gain_low"], found["gain_high"]) == pytest.approx((low, high), abs=1e-6)


def test_no_change_is_surely_better_than_the_best(champion: Connection, rows: Rows) -> None:
    del rows
    champion.execute("select ml.set('threshold', 1, 'test')")
    (found,) = read(champion, "select * from ml.blend_advice()")
    assert found["gain_low"] > 0
    assert "surely serve better" in found["advice"]
    champion.execute(
        "select ml.set('threshold', %(threshold)s, 'test'), ml.set('ml_weight', %(ml_weight)s, 'test'), "
        "ml.set('rule_weight', %(rule_weight)s, 'test')",
        found,
    )
    (found,) = read(champion, "select * from ml.blend_advice()")
    assert found["brier"] == pytest.approx(found["present_brier"], abs=EXACT)
    assert found["advice"] == "no change is surely better"


def test_promoting_says_what_the_rows_advise(
    champion: Connection, rows: Rows, database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", database)
    (found,) = read(champion, "select advice, rows from ml.blend_advice()")
    assert found["rows"] == len(movable(rows).y)
    promote, train = ["promote", "small", "--reason", "again"], ["train", "--models", "first_passage", "--quiet"]
    for main, command in ((worker.cli.main, promote), (training.cli.main, promote), (training.cli.main, train)):
        assert main(command) == 0
        printed = capsys.readouterr().out
        assert found["advice"] in printed
        assert f"{found['rows']:,}" in printed
    champion.execute("truncate pattern_events cascade")
    assert worker.cli.main(promote) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


# Labelled rows are those of the view


def test_labelled_rows_follow_relabels_rescoring_and_deletes(champion: Connection) -> None:
    rows = insert_rows(champion, count=60)

    def check(expected: int) -> None:
        newest = read(
            champion,
            "select distinct on (pattern_id, model_id, role, source) pattern_id, model_id, role, source, scored_at, "
            "detected_at, pattern_type, timeframe, y, ml, rule, served, first_passage, seen from ml_internal.evidence "
            "order by pattern_id, model_id, role, source, scored_at desc",
        )
        kept = read(
            champion,
            "select pattern_id, model_id, role, source, scored_at, detected_at, pattern_type, timeframe, y, ml, rule, "
            "served, first_passage, seen from ml_internal.labelled order by pattern_id, model_id, role, source",
        )
        assert len(kept) == expected
        assert kept == newest

    check(60)
    label(champion, rows.ids[:20], 1 - rows.y[:20])
    check(60)
    champion.execute("select ml.label(id, null, 'test') from unnest(%s::uuid[]) id", [rows.ids[:5]])
    check(55)
    write_scores(champion, rows.ids[3:10], [0.5] * 7, enqueued_at=START)
    check(55)
    assert read(champion, "select count(*) as n from ml_internal.labelled where ml = 0.5") == [{"n": 5}]
    write_scores(champion, rows.ids[10:14], [0.25] * 4)
    check(59)
    champion.execute("delete from pattern_events where id = any (%s)", [rows.ids[30:]])
    check(29)
    champion.execute("truncate pattern_events cascade")
    check(0)


def test_labelled_rows_outlive_their_predictions(champion: Connection) -> None:
    rows = insert_rows(champion, count=4)
    champion.execute("truncate ml.predictions")
    label(champion, rows.ids[:1], 1 - rows.y[:1])
    kept = read(champion, "select y from ml_internal.labelled order by detected_at")
    assert [row["y"] for row in kept] == [1 - rows.y[0], *rows.y[1:]]


# Skill


def expected_skill(rows: Rows, score: str, baseline: str) -> skill.Skill:
    p = {"ml": rows.ml, "served": rows.served}[score]
    # Of the history that write_scores writes, half of ten were positive.
    constant = np.full(len(rows.y), 0.5)
    q = {"rule": rows.rule, "base_rate": constant, "first_passage": 0.9 * rows.ml, "ml": rows.ml}[baseline]
    both = ~np.isnan(p) & ~np.isnan(q)
    return skill.skill(skill.sums(p[both], q[both], rows.y[both], rows.day[both] * 86_400, BLOCK_DAYS))


def assert_skill_is_numpys(connection: Connection, rows: Rows) -> None:
    found = read(connection, "select * from ml.skill where timeframe is null")
    assert {row["pattern_type"] for row in found} == {None, *KINDS}
    assert {(row["score"], row["baseline"]) for row in found} == {
        *((score, baseline) for score in ("ml", "served") for baseline in ("rule", "base_rate")), ("served", "ml"),
    }  # fmt: skip
    for row in found:
        own = rows if row["pattern_type"] is None else rows.take(rows.kind == row["pattern_type"])
        shown = expected_skill(own, row["score"], row["baseline"])
        assert (row["rows"], row["blocks"]) == (shown.rows[-1], len(shown.rows)), row
        for name in ("gain", "gain_low", "gain_high"):
            assert row[name] == pytest.approx(getattr(shown, name)[-1], abs=EXACT)
        assert row["e_value"] == pytest.approx(shown.e_value[-1], rel=1e-9)
        assert row["surely"] == ("better" if shown.better[-1] else "worse" if shown.worse[-1] else "unknown")


def test_first_passage_is_a_baseline_where_it_is_recorded(champion: Connection, rows: Rows) -> None:
    champion.execute("update ml_internal.labelled set first_passage = 0.9 * ml")
    champion.execute("insert into ml_internal.stale_skill select distinct model_id, day from ml_internal.labelled")
    found = read(
        champion,
        "select * from ml.skill where baseline = 'first_passage' and pattern_type is null and timeframe is null",
    )
    assert {row["score"] for row in found} == {"ml", "served"}
    for row in found:
        shown = expected_skill(rows, row["score"], "first_passage")
        assert (row["rows"], row["gain"]) == (shown.rows[-1], pytest.approx(shown.gain[-1], abs=EXACT))


def fold(connection: Connection) -> int:
    return int(read(connection, "select ml_internal.fold_skill() as folded")[0]["folded"])


def test_skill_equals_numpy_folded_or_not(champion: Connection, rows: Rows) -> None:
    assert_skill_is_numpys(champion, rows)
    blocks = len(np.unique(rows.day // BLOCK_DAYS))
    assert fold(champion) == blocks
    assert_skill_is_numpys(champion, rows)


@pytest.mark.parametrize(("right", "surely"), [(True, "better"), (False, "worse")])
def test_what_is_far_off_is_surely_worse(champion: Connection, rows: Rows, right: bool, surely: str) -> None:
    y = ((rows.ml > 0.5) == right).astype(np.float64)
    label(champion, rows.ids, y)
    shown = read(champion, "select distinct surely from ml.skill where timeframe is null and score = 'ml' "
                           "and baseline = 'base_rate'")  # fmt: skip
    assert shown == [{"surely": surely}]
    assert_skill_is_numpys(champion, replace(rows, y=y))


def test_a_relabel_sums_one_block_again(champion: Connection, rows: Rows) -> None:
    fold(champion)
    y = rows.y.copy()
    y[100] = 1 - y[100]
    label(champion, [rows.ids[100]], y[100:101])
    changed = replace(rows, y=y)
    assert_skill_is_numpys(champion, changed)
    assert fold(champion) == 1
    assert fold(champion) == 0
    assert_skill_is_numpys(champion, changed)


def test_a_change_while_blocks_are_summed_is_not_lost(champion: Connection, rows: Rows, database: str) -> None:
    with psycopg.connect(database) as other:
        label(other, [rows.ids[100]], 1 - rows.y[100:101])
        fold(champion)
        other.commit()
    y = rows.y.copy()
    y[100] = 1 - y[100]
    changed = replace(rows, y=y)
    assert_skill_is_numpys(champion, changed)
    assert fold(champion) == 1


def test_only_finished_blocks_and_unseen_rows_are_evidence(champion: Connection, rows: Rows) -> None:
    (before,) = read(champion, "select rows from ml.skill where score = 'ml' and baseline = 'base_rate' "
                               "and pattern_type is null and timeframe is null")  # fmt: skip
    (asked,) = read(champion, "select rows from ml.what_if()")
    recent = insert_pattern(champion, detected_at=datetime.now(UTC) - timedelta(hours=1))
    write_scores(champion, [recent], [0.7], enqueued_at=START)
    label(champion, [recent], np.ones(1))
    champion.execute("update ml_internal.labelled set seen = true where pattern_id = any (%s)", [rows.ids[:450]])
    champion.execute("insert into ml_internal.stale_skill select model_id, day from ml_internal.labelled")
    (after,) = read(champion, "select rows from ml.skill where score = 'ml' and baseline = 'base_rate' "
                              "and pattern_type is null and timeframe is null")  # fmt: skip
    counted = skill.counted(rows.day * 86_400, BLOCK_DAYS)
    assert (before["rows"], after["rows"]) == (counted.sum(), counted[450:].sum())
    assert read(champion, "select rows from ml.what_if()") == [{"rows": asked["rows"] - 450 + 1}]


def test_a_block_is_three_horizons_of_the_slowest_timeframe(champion: Connection, rows: Rows) -> None:
    fold(champion)
    # Ten bars took fourteen days, so twenty take twenty-eight, and a tenth more.
    assert read(champion, "select * from ml_internal.skill_clock") == [
        {"singleton": True, "block_days": 98, "label_horizon": 20}
    ]
    champion.execute("select ml.set('label_horizon', 5, 'test')")
    label(champion, rows.ids[:1], 1 - rows.y[:1])
    assert fold(champion) > 10
    assert read(champion, "select block_days from ml_internal.skill_clock") == [{"block_days": 28}]
    champion.execute("select ml.set('label_horizon', 20, 'test')")
    label(champion, rows.ids[:1], rows.y[:1])
    fold(champion)
    assert_skill_is_numpys(champion, rows)
