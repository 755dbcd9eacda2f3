"""Drift measured from counts: the figures of the standard tools, alarms that hold their level, baselines by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import psycopg
import pytest
from numpy.typing import NDArray
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2, false_discovery_control, hypergeom, ks_2samp

from db_functions.database import Connection
from tests.conftest import ROOT
from tests.drift_support import FEATURED, IMPORTANCES, featured_baseline, insert_rows, register_featured, training_rows
from tests.sql_support import refused_with
from tests.support import insert_bars, small_model, wait_until
from tests.worker_support import count as rows_of
from tests.worker_support import working
from training.baseline import count, frequencies, histogram

pytestmark = [pytest.mark.compat, pytest.mark.usefixtures("within_an_hour")]

Counts = NDArray[np.float64]


def register(
    connection: Connection, version: str, names: Sequence[str], baseline: dict[str, Any] | None, **metrics: Any
) -> int:
    row = connection.execute(
        "select ml_internal.register_model(%s, 'test', %s, 1, '{bars,history}', "
        "'{ml_confidence,probabilities,features}', "
        "%s, 5, %s, '', '{}', %s, null)",
        [version, small_model(version), list(names), Jsonb(metrics), Jsonb(baseline)],
    ).fetchone()
    assert row is not None
    return int(row[0])


def counted(counts: Sequence[float] | Counts) -> dict[str, Any]:
    """A histogram of the baseline with these cells, the last two of missing and infinite values."""
    *regular, missing, infinite = map(int, counts)
    return {"edges": list(range(1, len(regular))), "counts": regular, "nan": missing, "infinite": infinite}


def add_window(
    connection: Connection, model: int, start: datetime, cells: Any, *, grain: str = "day", rows: int = 1
) -> None:
    """Counts of live rows as the fold leaves them."""
    connection.execute(
        "insert into ml_internal.feature_rollups values (%s, %s, %s, 'champion', 'live', %s, %s, '{}', '{}')",
        [grain, start, model, rows, [float(cell) for cell in cells]],
    )


def midnight(connection: Connection) -> datetime:
    """The last one in UTC; the same throughout a transaction."""
    row = connection.execute("select date_trunc('day', now(), 'UTC')").fetchone()
    assert row is not None
    start: datetime = row[0]
    return start


def measured(connection: Connection, statement: str, *parameters: Any) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement.encode(), parameters).fetchall()


# What the figures are


def psi(baseline: Counts, live: Counts) -> float:
    seen = (baseline > 0) | (live > 0)
    p, q = baseline[seen] / baseline.sum(), live[seen] / live.sum()
    for shares in (p, q):
        least = shares[shares > 0].min()
        shares[shares == 0] = 1e-4 if least > 1e-4 else least / 1e6
    return float(((p - q) * np.log(p / q)).sum())


def pearson(baseline: Counts, live: Counts) -> float:
    """The p-value of the chi-squared test of homogeneity, cells of few rows pooled."""
    cells = np.stack([baseline, live])[:, (baseline > 0) | (live > 0)]
    expected = cells.sum(axis=0) * cells.sum(axis=1).min() / cells.sum()
    enough = (expected >= 10) | (cells[0 if baseline.sum() < live.sum() else 1] >= 40)
    dense, sparse = cells[:, enough], cells[:, ~enough]
    if sparse.size:
        rest = sparse.sum(axis=1)
        if rest.sum() * cells.sum(axis=1).min() / cells.sum() >= 10 or not dense.size:
            dense = np.column_stack([dense, rest])
        else:
            dense[:, dense.sum(axis=0).argmin()] += rest
    if dense.shape[1] == 1:
        return 1.0
    products = dense.sum(axis=0) * dense.sum(axis=1)[:, None] / dense.sum()
    return float(chi2.sf(((dense - products) ** 2 / products).sum(), dense.shape[1] - 1))


def codes(counts: Counts) -> NDArray[np.intp]:
    return np.repeat(np.arange(len(counts)), counts.astype(int))


EVIDENTLY = json.loads((ROOT / "tests" / "evidently" / "psi.json").read_text())


def test_figures_equal_the_standard_tools(transaction: Connection) -> None:
    names = [case["name"] for case in EVIDENTLY]
    baselines = [np.array(case["baseline"], float) for case in EVIDENTLY]
    lives = [np.array(case["live"], float) for case in EVIDENTLY]
    model = register(
        transaction, "counted", names, {"features": {n: counted(b) for n, b in zip(names, baselines, strict=True)}}
    )
    add_window(transaction, model, midnight(transaction), np.concatenate(lives))
    rows = measured(transaction, "select * from ml.feature_drift")
    assert sorted(row["name"] for row in rows) == sorted(names)
    by_name = {row["name"]: row for row in rows}
    for case, a, b in zip(EVIDENTLY, baselines, lives, strict=True):
        row = by_name[case["name"]]
        assert row["psi"] == pytest.approx(case["psi"], rel=1e-12, abs=1e-12), case["name"]
        assert (row["n"], row["m"]) == (b.sum(), a.sum())
        assert row["jensen_shannon"] == pytest.approx(jensenshannon(a, b, base=2), abs=1e-9)
        p, q = a / a.sum(), b / b.sum()
        assert row["hellinger"] == pytest.approx(np.sqrt(((np.sqrt(p) - np.sqrt(q)) ** 2).sum() / 2), abs=1e-12)
        assert row["ks"] == pytest.approx(ks_2samp(codes(a), codes(b), method="asymp").statistic, abs=1e-12)
        assert row["p_value"] == pytest.approx(pearson(a, b), rel=1e-6, abs=1e-280), case["name"]
        assert (row["missing_share"], row["infinite_share"]) == (b[-2] / b.sum(), b[-1] / b.sum())
        assert (row["baseline_missing_share"], row["baseline_infinite_share"]) == (a[-2] / a.sum(), a[-1] / a.sum())
        cells = int(((a > 0) | (b > 0)).sum())
        critical = chi2.isf(0.05, cells - 1) * (1 / a.sum() + 1 / b.sum()) if cells > 1 else 0
        assert row["psi_critical_value"] == pytest.approx(critical, rel=0.025)
    adjusted = false_discovery_control([by_name[name]["p_value"] for name in names])
    assert [by_name[name]["p_adjusted"] for name in names] == pytest.approx(list(adjusted), rel=1e-9)


@pytest.mark.parametrize(("x", "df"), [(0.2, 2), (3.8, 1), (27.9, 9), (45.0, 10), (160.0, 101), (900.0, 4)])
def test_tail_of_chi_squared_equals_scipy(x: float, df: int, transaction: Connection) -> None:
    row = transaction.execute("select ml_internal.chi_squared_tail(%s::float8, %s)", [x, df]).fetchone()
    assert row == (pytest.approx(chi2.sf(x, df), rel=1e-6),)


@pytest.mark.parametrize(("alpha", "df"), [(0.05, 3), (0.05, 9), (0.01, 12), (0.2, 60), (0.0008, 11), (0.6, 9)])
def test_critical_value_is_near_the_exact_one(alpha: float, df: int, transaction: Connection) -> None:
    row = transaction.execute("select ml_internal.chi_squared_critical(%s::float8, %s)", [alpha, df]).fetchone()
    assert row == (pytest.approx(chi2.isf(alpha, df), rel=0.01),)


def test_rise_of_bad_values_is_never_surer_than_the_exact_test(transaction: Connection) -> None:
    cases = [(500, 0, 200, 2), (500, 5, 200, 40), (5000, 100, 300, 90), (800, 3, 250, 0), (400, 40, 4000, 500)]
    names = [str(number) for number in range(len(cases))]
    model = register(
        transaction,
        "rising",
        names,
        {"features": {n: counted([m - bad, bad, 0]) for n, (m, bad, _, _) in zip(names, cases, strict=True)}},
    )
    add_window(
        transaction, model, midnight(transaction), [cell for _, _, n, bad in cases for cell in (n - bad, bad, 0)]
    )
    rows = measured(transaction, "select * from ml.data_quality order by name")
    for row, (m, before, n, bad) in zip(rows, cases, strict=True):
        exact = float(hypergeom.sf(bad - 1, n + m, before + bad, n))
        assert exact <= row["p_value"] <= min(1, 60 * exact + 1e-12), row["name"]
        assert row["rise"] == pytest.approx(max(0, bad / n - before / m), abs=1e-12)
    assert [row["level"] for row in rows] == [None, "warning", "warning", None, None]


# From scored rows


def score_all(connection: Connection, url: str) -> None:
    with working(url):
        wait_until(lambda: rows_of(connection, "ml.queue") == 0, "an empty queue")


def features_of(connection: Connection, version: str) -> NDArray[np.float32]:
    rows = connection.execute(
        "select p.features from ml.predictions p join ml.models m on m.id = p.model_id where m.version = %s "
        "order by p.scored_at, p.pattern_id",
        [version],
    )
    return np.array([row[0] for row in rows], np.float32)


def cells_of(values: NDArray[np.float32], edges: Sequence[float]) -> Counts:
    finite = values[np.isfinite(values)].astype(float)
    return np.array([*count(finite, np.array(edges)), np.isnan(values).sum(), np.isinf(values).sum()], float)


def test_drift_of_scored_rows_equals_a_recomputation_from_predictions(connection: Connection, database: str) -> None:
    before, types = training_rows()
    insert_bars(connection)
    register_featured(connection, "featured", featured_baseline())
    insert_rows(connection, [*np.random.default_rng(4).normal(101.5, 1.2, 270), *[100.0] * 6], seed=5)
    score_all(connection, database)

    live = features_of(connection, "featured").astype(np.float32)
    rows = measured(connection, "select * from ml_internal.measure_drift('featured', now() - interval '1 hour', now())")
    by_name = {row["name"]: row for row in rows}
    assert set(by_name) == {*FEATURED, "pattern_type", "timeframe", "ml_confidence", "prediction_class"}
    assert np.isinf(live).any()
    assert np.isnan(live).any()
    for column, name in enumerate(FEATURED):
        row, old = by_name[name], histogram(before[:, column])
        a = np.array([*old["counts"], old["nan"], old["infinite"]], float)
        b = cells_of(live[:, column], old["edges"])
        assert (row["n"], row["m"]) == (276, 900)
        assert row["psi"] == pytest.approx(psi(a, b), rel=1e-12)
        assert row["jensen_shannon"] == pytest.approx(jensenshannon(a, b, base=2), abs=1e-9)
        assert row["ks"] == pytest.approx(ks_2samp(codes(a), codes(b), method="asymp").statistic, abs=1e-12)
        assert row["p_value"] == pytest.approx(pearson(a, b), rel=1e-6, abs=1e-280)
        finite = live[np.isfinite(live[:, column]), column].astype(float)
        assert row["mean_shift"] == pytest.approx((finite.mean() - old["mean"]) / old["deviation"], rel=1e-9)
        assert row["deviation_ratio"] == pytest.approx(finite.std() / old["deviation"], rel=1e-6)
        assert row["importance"] == IMPORTANCES.get(name)
    found = connection.execute("select pattern_type from pattern_events").fetchall()
    known = frequencies(types)["categories"]
    b = np.array([*(sum(t == (name,) for t in found) for name in known), 0, sum(t == ("new",) for t in found)], float)
    a = np.array([*(sum(types == name) for name in known), 0, 0], float)
    row = by_name["pattern_type"]
    assert row["psi"] == pytest.approx(psi(a, b), rel=1e-12)
    assert (row["ks"], row["infinite_share"], row["unseen_share"]) == (None, None, b[-1] / 276)
    assert sorted(row["rank"] for row in rows if row["kind"] != "output") == [1, 2, 3, 4, 5, 6]
    drift = {row["name"]: row["psi"] * max(0, IMPORTANCES.get(row["name"], 0.2)) for row in rows}
    ranked = sorted((row for row in rows if row["kind"] != "output"), key=lambda row: int(row["rank"]))
    assert [row["name"] for row in ranked] == sorted((row["name"] for row in ranked), key=lambda n: -drift[n])
    views = measured(connection, "select * from ml.feature_drift union all select * from ml.prediction_drift")
    assert {(row["name"], row["psi"]) for row in views} == {(row["name"], row["psi"]) for row in rows}


# Baselines


def set_baseline(connection: Connection, **arguments: Any) -> dict[str, Any]:
    named = ", ".join(f"{name} => %({name})s" for name in arguments)
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(f"select b.* from ml.set_baseline({named}) b", arguments).fetchone()
    assert row is not None
    return row


def test_a_model_without_a_baseline_is_given_one_from_live_rows(connection: Connection, database: str) -> None:
    insert_bars(connection)
    register_featured(connection, "bare", None)
    rng = np.random.default_rng(6)
    insert_rows(connection, [*rng.normal(101, 1, 243), *[100.0] * 8], seed=7)
    score_all(connection, database)
    assert measured(connection, "select * from ml.feature_drift") == []
    since = datetime.now(UTC) - timedelta(hours=1)
    made = set_baseline(connection, since=since, reason="it came without")
    assert (made["source"], made["rows"], made["reason"]) == ("window", 251, "it came without")

    live = features_of(connection, "bare")
    rows = connection.execute("select name, edges from ml_internal.bins where kind = 'feature'").fetchall()
    bins: dict[str, list[float]] = dict(rows)
    cells = iter(made["cells"])
    for column, name in enumerate(FEATURED):
        expected = histogram(live[:, column])
        assert bins[name] == expected["edges"], name
        counts = [*expected["counts"], expected["nan"], expected["infinite"]]
        assert [next(cells) for _ in counts] == counts, name
        assert made["means"][column] == pytest.approx(expected["mean"])
        assert made["deviations"][column] == pytest.approx(expected["deviation"])

    insert_rows(connection, rng.normal(104, 1, 210), seed=8)
    score_all(connection, database)
    drift = {row["name"]: row for row in measured(connection, "select * from ml.feature_drift")}
    assert (drift["entry"]["psi"] > 1, drift["entry"]["level"]) == (True, None), "the window is still running"
    assert drift["support"]["level"] is None
    assert (drift["entry"]["n"], drift["entry"]["m"]) == (210, 251)
    later = set_baseline(connection, version="bare", since=since, reason="prices are higher now")
    assert later["rows"] == 210
    drift = {row["name"]: row for row in measured(connection, "select * from ml.feature_drift")}
    assert drift["entry"]["psi"] == 0
    assert drift["entry"]["mean_shift"] == pytest.approx(0, abs=1e-9)
    assert drift["entry"]["deviation_ratio"] == pytest.approx(1)


def window_model(connection: Connection) -> int:
    model = register(connection, "kept", ["x"], {"features": {"x": counted([300, 300, 300, 100, 0])}})
    connection.execute("select ml_internal.record_parity('kept', 0, 1e-5, 8, 'test')")
    connection.execute("select ml.promote('kept', 'test')")
    for day, counts in ((1, [40, 50, 60, 100, 0]), (2, [50, 50, 50, 10, 0])):
        for grain in ("day", "hour"):
            add_window(
                connection, model, midnight(connection) - timedelta(days=day), counts, grain=grain, rows=sum(counts)
            )
    return model


def test_baselines_are_kept_and_the_training_rows_are_the_way_back(transaction: Connection) -> None:
    model = window_model(transaction)
    first = measured(transaction, "select psi from ml.feature_drift where name = 'x' order by window_start")
    set_baseline(
        transaction, since=midnight(transaction) - timedelta(days=1), until=midnight(transaction), reason="a new market"
    )
    moved = measured(transaction, "select psi, m from ml.feature_drift where name = 'x' order by window_start")
    assert moved[1] == {"psi": 0, "m": 250}
    set_baseline(transaction, reason="it was a bad week")
    assert measured(transaction, "select psi from ml.feature_drift where name = 'x' order by window_start") == first
    history = measured(
        transaction, "select source, rows, reason from ml_internal.baselines where model_id = %s order by id", model
    )
    assert [(row["source"], row["rows"], row["reason"]) for row in history] == [
        ("training", 1000, "registered with the model"),
        ("window", 250, "a new market"),
        ("training", 1000, "it was a bad week"),
    ]


def test_a_baseline_of_a_window_in_which_a_variable_was_never_there(transaction: Connection) -> None:
    model = window_model(transaction)
    add_window(transaction, model, midnight(transaction) - timedelta(days=3), [0, 0, 0, 250, 0], grain="hour", rows=250)
    made = set_baseline(
        transaction,
        since=midnight(transaction) - timedelta(days=3),
        until=midnight(transaction) - timedelta(days=2),
        reason="a feed that fails",
    )
    assert (made["cells"], made["means"], made["deviations"]) == ([0, 0, 0, 250, 0], [None], [None])
    rows = measured(transaction, "select mean_shift, psi, ks from ml.feature_drift where name = 'x' and n = 250")
    assert [(row["mean_shift"], row["psi"] > 0, row["ks"]) for row in rows] == [(None, True, 0.6)]


@pytest.mark.parametrize(
    ("arguments", "sqlstate", "message"),
    [
        ("reason => ' '", "23514", "setting a baseline needs a reason"),
        ("'nobody', reason => 'x'", "ML003", "no model of version nobody is registered"),
        (
            "since => now() + interval '1 hour', until => now() + interval '2 hours', reason => 'x'",
            "22023",
            "the window",
        ),
        ("until => now(), reason => 'x'", "22023", "the window from null to"),
        (
            "since => now() - interval '30 minutes', until => now() + interval '1 hour', reason => 'x'",
            "22023",
            "the window",
        ),
        (
            "since => now() - interval '5 years', until => now() - interval '4 years', reason => 'x'",
            "55000",
            "has scored 0 live",
        ),
        ("'bare', since => now() - interval '1 day', reason => 'x'", "55000", "model bare has scored 0 live rows"),
        ("'bare', reason => 'x'", "55000", "was registered without counts of its training rows"),
    ],
)
def test_a_baseline_that_cannot_be_is_refused(
    arguments: str, sqlstate: str, message: str, transaction: Connection
) -> None:
    window_model(transaction)
    register(transaction, "bare", ["x"], None)
    assert message in refused_with(transaction, sqlstate, f"select ml.set_baseline({arguments})")
    assert rows_of(transaction, "ml_internal.baselines") == 1


def test_without_a_champion_a_version_has_to_be_named(transaction: Connection) -> None:
    register(transaction, "bare", ["x"], None)
    assert "no champion" in refused_with(transaction, "ML003", "select ml.set_baseline(reason => 'x')")


def test_an_operator_sets_baselines_and_an_analyst_reads_them(transaction: Connection) -> None:
    window_model(transaction)
    transaction.execute("set local role ml_analyst")
    assert len(measured(transaction, "select * from ml.feature_drift")) == 2
    assert len(measured(transaction, "select * from ml.data_quality")) == 2
    with pytest.raises(psycopg.errors.InsufficientPrivilege), transaction.transaction():
        transaction.execute("select ml.set_baseline(reason => 'x')")
    transaction.execute("set local role ml_operator")
    assert set_baseline(transaction, reason="x")["source"] == "training"


# Windows


def test_windows_that_say_nothing_neither_break_nor_lengthen_a_series(transaction: Connection) -> None:
    model = register(transaction, "kept", ["x"], {"features": {"x": counted([300, 300, 300, 0, 0])}})
    drifting, quiet, few = [300, 60, 40, 0, 0], [100, 100, 100, 0, 0], [30, 0, 0, 0, 0]
    for day, counts in enumerate([drifting, few, drifting, quiet, drifting, drifting]):
        add_window(transaction, model, midnight(transaction) - timedelta(days=day + (1 if day < 3 else 2)), counts)
    add_window(transaction, model, midnight(transaction), drifting)
    query = "select * from ml.feature_drift where name = 'x' order by window_start desc"
    running, *rows = measured(transaction, query)
    assert (running["complete"], running["level"]) == (False, None)
    assert [(row["level"], row["windows_in_a_row"]) for row in rows] == [
        ("critical", 2), (None, 1), ("critical", 1), (None, 0), ("critical", 2), ("critical", 1),
    ]  # fmt: skip
    assert all(row["complete"] for row in rows)
    assert rows[1]["n"] == 30
    assert rows[1]["psi"] > 1
    assert [(midnight(transaction) - row["window_start"]).days for row in rows] == [1, 2, 3, 5, 6, 7]


def test_a_window_of_hours_and_one_of_weeks(transaction: Connection) -> None:
    model = register(transaction, "kept", ["x"], {"features": {"x": counted([300, 300, 0, 0])}})
    for hour in range(24):
        add_window(transaction, model, midnight(transaction) - timedelta(hours=hour), [10, 30, 0, 0], grain="hour")
    for day in range(200):
        add_window(transaction, model, midnight(transaction) - timedelta(days=day), [100, 100, 0, 0])
    transaction.execute("select ml.set('drift_window', '6 hours', 'test')")
    rows = measured(transaction, "select * from ml.feature_drift where n = 240")
    assert len(rows) >= 3
    assert {row["window_end"] - row["window_start"] for row in rows} == {timedelta(hours=6)}
    transaction.execute("select ml.set('drift_window', '7 days', 'test')")
    rows = measured(transaction, "select * from ml.feature_drift order by window_start")
    assert len(rows) == 11
    assert {row["window_start"].astimezone(UTC).weekday() for row in rows} == {0}
    assert {row["n"] for row in rows[:-1]} == {1400}


# Alarms


DRAWN: tuple[Callable[[np.random.Generator, int], NDArray[np.float64]], ...] = (
    lambda rng, n: rng.normal(size=n),
    lambda rng, n: rng.lognormal(size=n, sigma=1.5),
    lambda rng, n: rng.poisson(0.7, size=n).astype(float),
    lambda rng, n: np.where(rng.random(n) < 0.02, np.nan, rng.normal(size=n)),
    lambda rng, n: np.where(rng.random(n) < 0.0005, np.inf, np.where(rng.random(n) < 0.002, np.nan, rng.random(n))),
    lambda rng, n: (rng.random(n) < 0.03).astype(float),
    lambda rng, n: np.where(rng.random(n) < 0.6, 0, rng.exponential(size=n)),
    lambda rng, n: rng.zipf(1.7, n).clip(max=10).astype(float),
)
"""Smooth, skewed, counts, with missing values, rarely missing or infinite, rare, with zeros, long-tailed."""
FEATURES = [f"feature_{number}" for number in range(60)]


def drawn(rng: np.random.Generator, rows: int) -> NDArray[np.float32]:
    return np.stack([DRAWN[i % len(DRAWN)](rng, rows) for i in range(len(FEATURES))], axis=1).astype(np.float32)


def histograms(values: NDArray[np.float32]) -> dict[str, Any]:
    return {name: histogram(values[:, column]) for column, name in enumerate(FEATURES)}


def cells_of_all(values: NDArray[np.float32], frozen: dict[str, Any]) -> Counts:
    return np.concatenate([cells_of(values[:, i], frozen[name]["edges"]) for i, name in enumerate(FEATURES)])


@pytest.mark.parametrize("rows", [200, 1000, pytest.param(5000, marks=pytest.mark.slow)])
def test_without_drift_alarms_are_as_rare_as_stated(
    rows: int, transaction: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(rows)
    since = midnight(transaction) - timedelta(days=1)
    windows: list[dict[str, Any]] = []
    for baseline in range(20):
        frozen = histograms(drawn(rng, 4000))
        model = register(transaction, f"quiet-{baseline}", FEATURES, {"features": frozen})
        for hour in range(10):
            add_window(
                transaction, model, since + timedelta(hours=hour), cells_of_all(drawn(rng, rows), frozen), grain="hour"
            )
        windows += measured(
            transaction,
            "select window_start, bool_or(p_value <= s.drift_alpha) as uncorrected, "
            "bool_or(ml_internal.chi_squared_tail(psi / (1 / n::float8 + 1 / m::float8), bins - 1) <= "
            "s.drift_alpha / 60) "
            "as psi_alone, "
            "bool_or(p_adjusted <= s.drift_alpha) as significant, bool_or(level is not null) as level, "
            "bool_or(quality_level is not null) as quality, bool_or(windows_in_a_row >= s.drift_windows) as alert "
            "from ml.settings s, ml_internal.measure_drift(%s, %s, %s, '1 hour') group by 1",
            f"quiet-{baseline}", since, since + timedelta(hours=10),
        )  # fmt: skip
    assert len(windows) == 200
    share = {name: float(np.mean([window[name] for window in windows])) for name in list(windows[0])[1:]}
    with capsys.disabled():
        print(f"\n{rows} rows a window, shares of 200 windows: {share}")
    assert share["uncorrected"] > 0.5, "sixty tests of a level of 0.05 each"
    assert share["psi_alone"] > 0.2 or rows > 200, "why the test is not one of psi itself"
    assert share["significant"] <= 0.05
    assert share["level"] <= 0.05
    assert share["quality"] <= 0.05
    assert share["alert"] <= share["level"]


def shifted_windows(transaction: Connection, change: Callable[[NDArray[np.float32]], None], rows: int) -> None:
    """A quiet window and two in which ``change`` has been done to the values."""
    rng = np.random.default_rng(21)
    frozen = histograms(drawn(rng, 4000))
    model = register(transaction, "shifted", FEATURES, {"features": frozen})
    for day in (2, 1, 0):
        values = drawn(rng, rows)
        if day < 2:
            change(values)
        add_window(transaction, model, midnight(transaction) - timedelta(days=day), cells_of_all(values, frozen))


def alarmed(transaction: Connection, view: str) -> set[str]:
    """The features for which an alert is due after the second drifting window."""
    rows = measured(
        transaction,
        f"select d.name from ml.{view} d, ml.settings s where d.windows_in_a_row >= s.drift_windows "
        "and d.window_end > now()",
    )
    return {row["name"] for row in rows}


def test_a_half_sigma_shift_of_three_features_is_found_and_they_are_named(transaction: Connection) -> None:
    moved = [0, 3, 11]

    def shift(values: NDArray[np.float32]) -> None:
        for column in moved:
            values[:, column] += np.float32(0.5)

    shifted_windows(transaction, shift, rows=1000)
    assert alarmed(transaction, "feature_drift") == {FEATURES[column] for column in moved}
    rows = measured(
        transaction, "select * from ml.feature_drift where window_start = %s", midnight(transaction) - timedelta(days=2)
    )
    assert [row["name"] for row in rows if row["level"]] == []
    assert alarmed(transaction, "data_quality") == set()


def test_a_feature_that_is_all_missing_is_named_as_drift_and_as_data_quality(transaction: Connection) -> None:
    def lose(values: NDArray[np.float32]) -> None:
        values[:, 8] = np.nan

    shifted_windows(transaction, lose, rows=300)
    assert alarmed(transaction, "feature_drift") == {FEATURES[8]}
    assert alarmed(transaction, "data_quality") == {FEATURES[8]}
    rows = measured(transaction, "select * from ml.data_quality where name = %s and window_end > now()", FEATURES[8])
    assert (rows[0]["missing_share"], rows[0]["rise"], rows[0]["level"]) == (1, 1, "critical")
    rows = measured(transaction, "select * from ml.feature_drift where name = %s and window_end > now()", FEATURES[8])
    assert (rows[0]["mean_shift"], rows[0]["deviation_ratio"]) == (None, None), "there is nothing to have a mean"


@pytest.mark.parametrize(
    ("baseline", "live"), [((812, 0), (0, 95_981)), ((95_981, 0), (0, 812)), ((0, 812), (95_981, 9))]
)
def test_a_small_sample_elsewhere_altogether_is_found_however_many_there_are_of_the_other(
    baseline: tuple[int, int], live: tuple[int, int], transaction: Connection
) -> None:
    model = register(transaction, "moved", ["a"], {"features": {"a": counted([*baseline, 0, 0])}})
    since = midnight(transaction) - timedelta(days=1)
    add_window(transaction, model, since, [*live, 0, 0], rows=sum(live))
    (found,) = measured(
        transaction, "select * from ml_internal.measure_drift('moved', %s, %s)", since, midnight(transaction)
    )
    assert found["psi"] == pytest.approx(psi(np.array(baseline, float), np.array(live, float)), abs=1e-9)
    assert found["p_value"] < 1e-12
    assert found["p_value"] == pytest.approx(pearson(np.array(baseline, float), np.array(live, float)), abs=1e-12)
    assert found["level"] == "critical"


def test_one_outlier_does_not_hide_a_shift(transaction: Connection) -> None:
    def shift(values: NDArray[np.float32]) -> None:
        values[:, 16] += np.float32(1)
        values[0, 16] = 1e6

    shifted_windows(transaction, shift, rows=300)
    assert alarmed(transaction, "feature_drift") == {FEATURES[16]}
