"""What a challenger must have shown before it is promoted: the figures against NumPy, and each gate by its name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from psycopg.rows import dict_row
from scipy import stats
from sklearn.metrics import log_loss, roc_auc_score

from db_functions.database import Connection
from db_functions.model import open_session
from tests.real_rows import real_rows
from tests.sql_support import refused_with
from tests.support import make_champion, register
from training.pipeline import train

pytestmark = pytest.mark.compat

Floats = NDArray[np.float64]
DAY_S = 86_400
GATES = ("pairs", "labels", "not_worse", "calibration", "latency")


@pytest.fixture
def registry(transaction: Connection) -> Connection:
    """Champion ``old``, models ``new`` and ``other``, and the gates as they are by default."""
    transaction.execute("update ml.settings set gate_pairs = default, gate_labels = 300")
    make_champion(transaction, "old")
    register(transaction, "new")
    register(transaction, "other")
    # Rows as scoring and labelling leave them, without doing either.
    transaction.execute("set local session_replication_role = replica")
    return transaction


def model_id(connection: Connection, version: str) -> int:
    row = connection.execute("select id from ml.models where version = %s", [version]).fetchone()
    assert row is not None
    return int(row[0])


def add_pairs(
    connection: Connection,
    challenger: Floats,
    champion: Floats,
    hit: NDArray[Any],
    *,
    detected_at: NDArray[np.int64] | None = None,
    kinds: Sequence[str] | None = None,
    window_s: int = DAY_S,
    models: tuple[int, int] | None = None,
    inference_ms: float = 5.0,
) -> None:
    """Pairs of scores of new patterns; an outcome of NaN is not known yet."""
    count = len(hit)
    at = np.arange(count) * DAY_S if detected_at is None else detected_at
    ids = [f"{n:032x}" for n in np.random.default_rng().integers(0, 2**62, count)]
    moments, kind = [_time(second) for second in at], kinds or ["flag"] * count
    ends = [_time(second + window_s) if known else None for second, known in zip(at, ~np.isnan(hit), strict=True)]
    labels = [None if np.isnan(y) else "positive" if y else "negative" for y in hit]
    a, b = models or (model_id(connection, "new"), model_id(connection, "old"))
    patterns = zip(ids, ["A"] * count, ["1d"] * count, kind, moments, ends, labels, strict=True)
    pairs = zip(
        [a] * count, [b] * count, moments, ids, kind, [False] * count, challenger.tolist(), champion.tolist(),
        [inference_ms] * count, strict=True,
    )  # fmt: skip
    columns = "id, symbol, timeframe, pattern_type, detected_at, outcome_at, outcome_label"
    for target, rows in ((f"pattern_events ({columns})", patterns), ("ml_internal.shadow_pairs", pairs)):
        with connection.cursor() as cursor, cursor.copy(f"copy {target} from stdin".encode()) as copy:
            for row in rows:
                copy.write_row(row)


def _time(seconds: Any) -> str:
    return str(np.datetime64(int(seconds), "s")) + "Z"


def compare(connection: Connection, newest: int = 100_000) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            "select * from ml_internal.compare_shadow(%s, %s, %s)",
            [model_id(connection, "new"), model_id(connection, "old"), newest],
        ).fetchall()


def failed(connection: Connection, version: str = "new") -> list[str]:
    return [row[0] for row in connection.execute("select gate from ml.gates(%s) where not passed", [version])]


def drawn(rng: np.random.Generator, count: int, noise: float) -> tuple[Floats, Floats]:
    """True probabilities, and answers to them that are off by ``noise`` in log-odds."""
    logit = rng.normal(0, 1, count)
    return _sigmoid(logit), _sigmoid(logit + rng.normal(0, noise, count))


def _sigmoid(x: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-x)))


def clustered_error(influence: Floats, block: NDArray[Any]) -> float:
    sums = np.array([influence[block == one].sum() for one in np.unique(block)])
    return float(np.sqrt(np.sum(sums**2) * len(sums) / (len(sums) - 1)))


def auc_components(p: Floats, y: Floats) -> Floats:
    """DeLong's, by comparing every positive with every other."""
    wins = (p[y == 1][:, None] > p[y == 0][None, :]) + 0.5 * (p[y == 1][:, None] == p[y == 0][None, :])
    v = np.empty(len(p))
    v[y == 1], v[y == 0] = wins.mean(axis=1), wins.mean(axis=0)
    return v


def test_the_figures_are_those_of_the_definitions(registry: Connection) -> None:
    rng = np.random.default_rng(5)
    true, a = drawn(rng, 900, 0.3)
    # Rounded, so that some answers are equal.
    a, b = np.round(a, 2), np.round(_sigmoid(np.log(true / (1 - true)) + rng.normal(0, 0.6, 900)), 2)
    y = (rng.random(900) < true).astype(float)
    at = np.sort(rng.integers(0, 200 * DAY_S, 900))
    kinds = rng.choice(["flag", "wedge"], 900).tolist()
    add_pairs(registry, a, b, y, detected_at=at, kinds=kinds, window_s=5 * DAY_S)
    add_pairs(registry, a[:50], b[:50], np.full(50, np.nan), detected_at=at[:50])
    for row in compare(registry):
        own = np.full(900, True) if row["pattern_type"] is None else np.array(kinds) == row["pattern_type"]
        p, q, hit, block = a[own], b[own], y[own], at[own] // (5 * DAY_S)
        n = len(p)
        assert row["labels"] == n
        assert row["pairs"] == n + (50 if row["pattern_type"] != "wedge" else 0)
        assert row["blocks"] == len(np.unique(block))
        p, q = p.astype(np.float32).astype(float), q.astype(np.float32).astype(float)
        assert row["challenger_brier"] == pytest.approx(np.mean((p - hit) ** 2))
        assert row["champion_log_loss"] == pytest.approx(log_loss(hit, np.clip(q, 1e-3, 1 - 1e-3)))
        assert row["challenger_roc_auc"] == pytest.approx(roc_auc_score(hit, p))
        brier = (p - hit) ** 2 - (q - hit) ** 2
        assert row["brier_difference"] == pytest.approx(brier.mean())
        assert row["brier_error"] == pytest.approx(clustered_error((brier - brier.mean()) / n, block))
        v = auc_components(p, hit) - auc_components(q, hit)
        difference = v[hit == 1].mean()
        assert row["roc_auc_difference"] == pytest.approx(difference)
        influence = (v - difference) / np.where(hit == 1, hit.sum(), n - hit.sum())
        assert row["roc_auc_error"] == pytest.approx(clustered_error(influence, block))


def test_with_a_block_for_each_row_the_auc_error_is_delongs(registry: Connection) -> None:
    rng = np.random.default_rng(6)
    true, a = drawn(rng, 400, 0.5)
    b = _sigmoid(np.log(true / (1 - true)) + rng.normal(0, 1, 400))
    y = (rng.random(400) < true).astype(float)
    add_pairs(registry, a, b, y)
    v = auc_components(a.astype(np.float32), y) - auc_components(b.astype(np.float32), y)
    delong = np.sqrt(np.var(v[y == 1], ddof=1) / np.sum(y == 1) + np.var(v[y == 0], ddof=1) / np.sum(y == 0))
    assert compare(registry)[0]["roc_auc_error"] == pytest.approx(delong, rel=0.01)


def test_quantiles_are_students(transaction: Connection) -> None:
    for p in (0.001, 0.02, 0.05, 0.3, 0.5, 0.8, 0.95, 0.975, 0.99):
        for df in (8, 20, 100, 1_000_000):
            row = transaction.execute("select ml_internal.t_quantile(%s, %s)", [p, df]).fetchone()
            assert row is not None
            assert row[0] == pytest.approx(stats.t.ppf(p, df), rel=5e-3, abs=1e-6)


def test_only_the_newest_pairs_count_and_a_row_scored_again_once(registry: Connection) -> None:
    half = np.full(300, 0.5)
    add_pairs(registry, half, half + 0.1, np.ones(300))
    assert compare(registry, 120)[0]["pairs"] == 120
    registry.execute(
        "insert into ml_internal.shadow_pairs select challenger_id, champion_id, scored_at + interval '1 s', "
        "pattern_id, "
        "pattern_type, canary, 0.9, champion, inference_ms from ml_internal.shadow_pairs limit 10"
    )
    row = compare(registry)[0]
    assert row["pairs"] == 300
    assert row["mean_difference"] == pytest.approx((10 * 0.3 - 290 * 0.1) / 300)


def test_a_first_champion_needs_no_comparison(transaction: Connection) -> None:
    transaction.execute("update ml.settings set gate_pairs = default")
    register(transaction, "first")
    assert [row[0] for row in transaction.execute("select gate from ml.gates('first')")] == ["parity", "evidence"]
    transaction.execute("select ml.promote('first', 'test')")


def test_every_gate_is_named_with_what_was_found(registry: Connection) -> None:
    assert failed(registry) == list(GATES)
    said = refused_with(registry, "ML002", "select ml.promote('new', 'test')")
    for part in ("pairs: 0", "500", "labels: 0", "latency: "):
        assert part in said
    rng = np.random.default_rng(1)
    true, a = drawn(rng, 600, 0.1)
    y = (rng.random(600) < true).astype(float)
    # Worse than a champion that knows, badly calibrated and slow: with rows enough, exactly that is said.
    add_pairs(registry, np.clip(a**3, 0.01, 0.99), true, y, inference_ms=80)
    assert failed(registry) == ["not_worse", "calibration", "latency"]


def gate(connection: Connection, name: str, version: str = "new") -> tuple[bool, str, str | None]:
    row = connection.execute("select passed, found, hint from ml.gates(%s) where gate = %s", [version, name]).fetchone()
    assert row is not None, name
    return row[0], row[1], row[2]


def test_rows_that_either_had_seen_are_no_evidence(registry: Connection) -> None:
    """As a backfill over the rows that a model was fitted on would leave them."""
    edge = 500 * DAY_S
    register(registry, "knowing", metrics={"trained": {"test_from": edge}})
    rng = np.random.default_rng(3)
    true, a = drawn(rng, 800, 1.0)
    y = (rng.random(800) < true).astype(float)
    for pair in (("knowing", "old"), ("new", "old")):
        one, other = (model_id(registry, version) for version in pair)
        add_pairs(registry, y * 0.98 + 0.01, a, y, models=(one, other))
    assert "not_worse" not in failed(registry), "nothing is said against a model that had not seen them"
    assert {"pairs": 300, "labels": 300}.items() <= {
        row[0]: int(row[1].split()[0])
        for row in registry.execute("select gate, found from ml.gates('knowing') where gate in ('pairs', 'labels')")
    }.items()
    assert not gate(registry, "pairs", "knowing")[0]
    registry.execute("select ml.promote('knowing', 'test', true)")
    add_pairs(registry, y * 0.98 + 0.01, a, y, models=(model_id(registry, "new"), model_id(registry, "knowing")))
    assert gate(registry, "pairs")[1].startswith("300 "), "what the champion had seen flatters it"


def test_a_margin_names_the_question_and_says_its_power(registry: Connection) -> None:
    """An equal model: of many such comparisons the share that passes is about what each of them states."""
    rng = np.random.default_rng(4)
    registry.execute("update ml.settings set gate_margin = 0.002")
    stated, passed = [], []
    for _ in range(60):
        true = _sigmoid(rng.normal(0, 1, 600))
        a, b = (np.clip(true + rng.normal(0, 0.02, 600), 0.001, 0.999) for _ in range(2))
        registry.execute("truncate ml_internal.shadow_pairs, pattern_events cascade")
        add_pairs(registry, a, b, (rng.random(600) < true).astype(float))
        fine, found, hint = gate(registry, "not_worse")
        stated.append(int(found.split("probability ")[1].split()[0]))
        passed.append(fine)
        assert (hint is None) == fine
    assert np.mean(passed) == pytest.approx(np.mean(stated) / 100, abs=0.2)
    assert 0.3 < np.mean(passed) < 0.95
    registry.execute("update ml.settings set gate_margin = 0")
    assert "better" in {row[0] for row in registry.execute("select gate from ml.gates('new')")}
    assert gate(registry, "better")[1].split("probability ")[1].startswith("5 ")


def add_unlike_outcomes(connection: Connection, version: str, *, seen: bool) -> None:
    """Labelled rows of six years: outcomes follow the rule, and the model says the contrary."""
    connection.execute(
        "insert into ml_internal.labelled (pattern_id, model_id, role, source, scored_at, detected_at, pattern_type, "
        "timeframe, y, ml, rule, served, base_rate, seen, waited_s, bars) "
        "select gen_random_uuid(), %s, 'challenger', 'backfill', now(), day, 'flag', '1d', y, 0.7 - 0.4 * y, "
        "0.3 + 0.4 * y, 0.5, 0.5, %s, 20 * 86400, 20 "
        "from generate_series(timestamptz '2018-01-01Z', '2023-12-31Z', '6 hours') day, "
        "lateral (select (extract(epoch from day)::bigint / 21600 %% 2)::float8 as y) o",
        [model_id(connection, version), seen],
    )
    connection.execute("insert into ml_internal.stale_skill select distinct model_id, day from ml_internal.labelled")


def test_a_model_that_unseen_rows_show_to_be_worse_than_the_rule_is_refused(connection: Connection) -> None:
    """Even as the first champion."""
    register(connection, "first")
    add_unlike_outcomes(connection, "first", seen=True)
    assert failed(connection, "first") == [], "rows that it had seen say nothing"
    add_unlike_outcomes(connection, "first", seen=False)
    assert failed(connection, "first") == ["skill"]
    refused_with(connection, "ML002", "select ml.promote('first', 'test')")


def test_unseen_rows_demote_a_champion(connection: Connection) -> None:
    """Arithmetic, and a recipe whose forward folds are not worse than it, may then follow without pairs."""
    connection.execute("update ml.settings set gate_pairs = default")
    interval = {"value": -0.001, "low": -0.01, "high": 0.01}
    make_champion(connection, "disproved")
    register(connection, "arithmetic", metrics={"candidates": {"kept": "first_passage"}})
    register(connection, "learnt", metrics={"evidence": {"rows": 9, "brier_minus_first_passage": interval}})
    register(connection, "unknown")
    followers = ("arithmetic", "learnt", "unknown")
    assert all("pairs" in failed(connection, version) for version in followers)
    add_unlike_outcomes(connection, "disproved", seen=False)
    assert [failed(connection, version) for version in followers[:2]] == [[], []]
    assert "pairs" in failed(connection, "unknown")
    connection.execute("select ml.promote('arithmetic', 'unseen rows')")


def test_force_passes_the_gates_and_is_recorded(registry: Connection) -> None:
    registry.execute("select ml.promote('new', 'known from elsewhere', force => true)")
    row = registry.execute("select forced from ml.model_timeline where version = 'new'").fetchone()
    assert row == (True,)


def test_a_better_challenger_is_promoted_and_challenges_no_longer(registry: Connection) -> None:
    registry.execute("select ml.challenge('new', 1, 0, 'test'), ml.challenge('other', 0.5, 0.1, 'test')")
    rng = np.random.default_rng(2)
    true, worse = drawn(rng, 800, 1.0)
    y = (rng.random(800) < true).astype(float)
    add_pairs(registry, true, worse, y)
    assert failed(registry) == []
    registry.execute("select ml.promote('new', 'the better one')")
    row = registry.execute(
        "select forced from ml.model_timeline where version = 'new' and alias = 'champion'"
    ).fetchone()
    assert row == (False,)
    left = registry.execute("select m.version from ml.aliases a join ml.models m on m.id = a.model_id "
                            "where a.alias = 'challenger' and a.valid_to is null").fetchall()  # fmt: skip
    assert left == [("other",)]
    assert registry.execute("select ml.rollback('back')").fetchone() == ("old",)


@pytest.mark.parametrize(
    ("call", "sqlstate", "named"),
    [
        ("'new', 1, 0, ''", "ML002", "reason"),
        ("'new', 1.1, 0, 'r'", "ML002", "1.1"),
        ("'new', 0.1, 0.2, 'r'", "ML002", "0.2"),
        ("'new', 'NaN', 0, 'r'", "ML002", "NaN"),
        ("'nobody', 1, 0, 'r'", "ML003", "nobody"),
        ("'old', 1, 0, 'r'", "ML002", "champion"),
        ("'new', 0, 0, 'r'", "ML002", "challenger"),
        ("'gone', 1, 0, 'r'", "ML002", "retired"),
        ("'unproven', 1, 0, 'r'", "ML002", "parity"),
    ],
)
def test_a_challenge_that_cannot_be_is_refused(registry: Connection, call: str, sqlstate: str, named: str) -> None:
    register(registry, "gone")
    register(registry, "unproven", parity=1.0)
    registry.execute("select ml.retire('gone', 'test')")
    assert named in refused_with(registry, sqlstate, f"select ml.challenge({call})")


def test_challengers_are_four_and_their_canaries_one_at_most(registry: Connection) -> None:
    registry.execute("select ml.challenge('new', 1, 0.7, 'test')")
    assert "0.7" in refused_with(registry, "ML002", "select ml.challenge('other', 1, 0.4, 'test')")
    registry.execute("select ml.challenge('new', 1, 0.5, 'less of it')")
    registry.execute("select ml.challenge('other', 1, 0.4, 'test')")
    for n in range(3):
        register(registry, f"more-{n}")
    registry.execute("select ml.challenge('more-0', 1, 0, 't'), ml.challenge('more-1', 1, 0, 't')")
    refused_with(registry, "ML002", "select ml.challenge('more-2', 1, 0, 't')")
    registry.execute("select ml.retire('more-0', 'test')")
    registry.execute("select ml.challenge('more-2', 1, 0, 't')")


@pytest.mark.slow
def test_no_difference_is_promoted_as_rarely_as_stated(registry: Connection) -> None:
    """Two models equally far from the truth, whose errors and outcomes are alike within a week: 400 comparisons."""
    trials, weeks, each = 400, 60, 10
    rng = np.random.default_rng(8)
    count = weeks * each
    champion = model_id(registry, "old")
    promoted, naive = 0, 0
    at = np.repeat(np.arange(weeks) * 7 * DAY_S, each)
    for _ in range(trials):
        common = np.repeat(rng.normal(0, 1, weeks), each)
        true = _sigmoid(0.5 * rng.normal(0, 1, count) + common)
        y = (rng.random(count) < true).astype(float)
        a, b = (_sigmoid(np.repeat(rng.normal(0, 0.5, weeks), each) + rng.normal(0, 0.1, count)) for _ in range(2))
        # Not deleted: what one transaction deletes stays in its way.
        registry.execute("truncate ml_internal.shadow_pairs, pattern_events cascade")
        add_pairs(registry, a, b, y, detected_at=at, window_s=7 * DAY_S, models=(model_id(registry, "new"), champion))
        promoted += "not_worse" not in failed(registry)
        difference = (a - y) ** 2 - (b - y) ** 2
        naive += difference.mean() + 1.645 * difference.std() / np.sqrt(count) <= 0
    print(
        f"no difference, {trials} comparisons of {count} rows in {weeks} weeks: {promoted / trials:.1%} pass the gate "
        f"(5 % stated); {naive / trials:.1%} would with rows taken as independent"
    )
    # Three standard errors of the simulation.
    assert promoted / trials <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / trials)
    assert naive > 2 * promoted, "the blocks are what keeps it there"


@pytest.mark.slow
def test_on_real_rows_a_better_model_passes_and_a_worse_one_is_refused(registry: Connection) -> None:
    """A trained model and the application's own rule, on patterns later than all that were trained on."""
    dataset = real_rows()
    dataset = dataset.take(np.isfinite(dataset.inputs["rule_confidence"]))
    boundary = dataset.detected_at[int(0.6 * len(dataset))]
    known = dataset.take(dataset.horizon_at < boundary)
    later = dataset.take(dataset.detected_at >= boundary)
    artifact = train(known, ["logistic", "gradient_boosting"], seed=1, size=0.2)
    inputs = later.inputs
    session = open_session(artifact.onnx)
    (trained,) = session.run(["ml_confidence"], {i.name: inputs[i.name] for i in session.get_inputs()})
    answered = np.isfinite(trained)
    trained, later = trained[answered], later.take(answered)
    rule = later.inputs["rule_confidence"].astype(float)
    hit = later.positive.astype(float)
    pair = (model_id(registry, "new"), model_id(registry, "old"))
    when, window_s = later.detected_at, 28 * DAY_S
    add_pairs(registry, trained, rule, hit, models=pair, detected_at=when, window_s=window_s)
    assert failed(registry) == []
    better = compare(registry)[0]
    registry.execute("delete from ml_internal.shadow_pairs")
    add_pairs(registry, rule, trained, hit, models=pair, detected_at=when, window_s=window_s)
    assert "not_worse" in failed(registry)
    print(
        f"{better['labels']:,} real rows: trained less rule {better['brier_difference']:+.4f} of Brier score, "
        f"standard error {better['brier_error']:.4f}; promoted, and the other way round refused"
    )


# Evidence that a model brings


def test_a_model_whose_own_evidence_speaks_against_it_is_refused_even_as_the_first(transaction: Connection) -> None:
    register(transaction, "bad", metrics={"refused": ["surely worse than first passage"]})
    found: dict[str, bool] = dict(transaction.execute("select gate, passed from ml.gates('bad')").fetchall())
    assert found == {"parity": True, "evidence": False}
    refused_with(transaction, "ML002", "select ml.promote('bad', 'test')")
    transaction.execute("select ml.promote('bad', 'as a demonstration', true)")
    assert transaction.execute("select forced from ml.model_timeline where version = 'bad'").fetchone() == (True,)


@pytest.mark.parametrize(("difference", "passes"), [(-0.001, True), (0.0, True), (0.001, False), (None, False)])
def test_forward_folds_are_enough_to_follow_arithmetic(
    transaction: Connection, difference: float | None, passes: bool
) -> None:
    """And not to follow a model that has learnt: that takes pairs."""
    transaction.execute("select ml.set('gate_pairs', 500, 'test')")
    register(transaction, "arithmetic", metrics={"candidates": {"kept": "first_passage"}})
    transaction.execute("select ml.promote('arithmetic', 'test')")
    interval = {"value": difference, "low": -0.01, "high": 0.01}
    evidence = {"rows": 900, "measured_on": "forward folds", "brier_minus_first_passage": interval}
    register(transaction, "learnt", metrics={"evidence": evidence})
    found: dict[str, bool] = dict(transaction.execute("select gate, passed from ml.gates('learnt')").fetchall())
    assert found == {"parity": True, "evidence": True, "forward_folds": passes}
    transaction.execute("select ml.promote('learnt', 'test', true)")
    register(transaction, "next", metrics={"evidence": evidence})
    gates = {gate for (gate,) in transaction.execute("select gate from ml.gates('next')").fetchall()}
    assert {"pairs", "labels", "not_worse"} <= gates
