"""Any fitted classifier over our features: published and served as it answers itself, or refused by its step's name."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import psycopg
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    OneHotEncoder,
    RobustScaler,
    StandardScaler,
)
from sklearn.svm import SVC, LinearSVC

import training
from db_functions.contract import PARITY_TOLERANCE
from db_functions.database import Connection
from db_functions.errors import InvalidModel
from db_functions.model import open_session
from tests.conftest import _janitor
from tests.servers import Server
from tests.support import insert_labelled, wait_until
from training.errors import NotConvertible, NotPublishable, ParityFailed
from training.features import FEATURE_NAMES
from training.load import load_dataset
from training.publishing import answers
from training.publishing.columns import columns_of, rounded
from training.registry import list_models, read_file
from training.session import answer
from worker.serving.engine import Engine

pytest.importorskip("pandas")

FILLED = [name for name in FEATURE_NAMES if name.startswith(("rsi", "momentum", "roc", "macd", "first", "rule", "dir"))]
COLUMNS = ["pattern_type", *FILLED[3:], "timeframe", *FILLED[:3], "support_distance", "hour_sin"]
"""What most are fitted on, in no order of ours; of the last two one is always NaN here, the other a constant."""


class Signs(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Somebody's own: the signs of its columns."""

    def fit(self, X: Any, y: Any = None) -> Signs:
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X: Any) -> Any:
        return np.sign(X)


@pytest.fixture(scope="module")
def stocked(server: Server, template: str) -> Iterator[str]:
    """A database with labelled patterns."""
    with _janitor(server, "published", template):
        url = server.url("published")
        with psycopg.connect(url, autocommit=True) as connection:
            insert_labelled(connection)
        yield url


@pytest.fixture(scope="module")
def rows(stocked: str) -> Any:
    return training.load_labelled(url=stocked)


def impute() -> SimpleImputer:
    return SimpleImputer(strategy="median", keep_empty_features=True)


def logistic() -> LogisticRegression:
    return LogisticRegression(C=0.01, max_iter=2_000)


def forest(trees: int = 10) -> RandomForestClassifier:
    return RandomForestClassifier(trees, min_samples_leaf=5, random_state=0)


def mixed() -> ColumnTransformer:
    """Texts before and between the numbers, so that columns move."""
    return ColumnTransformer(
        [
            ("kinds", OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["pattern_type", "timeframe"]),
            ("numbers", make_pipeline(impute(), StandardScaler()), FILLED[:6]),
            ("trend", make_pipeline(impute(), RobustScaler(), PCA(3)), FILLED[6:]),
        ]
    )


SERVED: dict[str, Callable[[], Any]] = {
    "scaler, logistic": lambda: make_pipeline(impute(), StandardScaler(), logistic()),
    "robust scaler, pca": lambda: make_pipeline(impute(), RobustScaler(), PCA(8), logistic()),
    "power, selection": lambda: make_pipeline(impute(), SelectKBest(k=10), MinMaxScaler(), logistic()),
    "union": lambda: make_pipeline(impute(), FeatureUnion([("p", PCA(3)), ("s", StandardScaler())]), logistic()),
    "columns": lambda: make_pipeline(mixed(), logistic()),
    "scaled forest": lambda: make_pipeline(impute(), StandardScaler(), forest()),
    "extra trees": lambda: make_pipeline(impute(), ExtraTreesClassifier(10, min_samples_leaf=5, random_state=0)),
    "boosting": lambda: make_pipeline(impute(), GradientBoostingClassifier(n_estimators=5, random_state=0)),
    "boosting with NaN": lambda: HistGradientBoostingClassifier(max_iter=5, random_state=0),
    "calibrated": lambda: make_pipeline(impute(), CalibratedClassifierCV(forest(5), cv=2)),
    "voting": lambda: make_pipeline(
        impute(), StandardScaler(), VotingClassifier([("l", logistic()), ("f", forest(5))], voting="soft")
    ),
    "stacking": lambda: make_pipeline(
        impute(), StandardScaler(), StackingClassifier([("l", logistic()), ("f", forest(5))], cv=2)
    ),
    "svm": lambda: make_pipeline(impute(), StandardScaler(), CalibratedClassifierCV(SVC(), ensemble=False, cv=2)),
}
REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "custom": (lambda: make_pipeline(impute(), Signs(), logistic()), "signs"),
    "function": (lambda: make_pipeline(impute(), FunctionTransformer(np.tanh), logistic()), "functiontransformer"),
    "isotonic": (
        lambda: make_pipeline(impute(), CalibratedClassifierCV(forest(5), cv=2, method="isotonic")),
        "calibratedclassifiercv",
    ),
    "after columns": (
        lambda: make_pipeline(mixed(), CalibratedClassifierCV(forest(5), cv=2, method="isotonic")),
        "calibratedclassifiercv",
    ),
    "forest with NaN": (forest, "classifier"),
    "within": (
        lambda: make_pipeline(
            ColumnTransformer([("own", make_pipeline(impute(), Signs()), FILLED[:5])], remainder="drop"), logistic()
        ),
        "columntransformer > own > signs",
    ),
    "nearest": (lambda: make_pipeline(impute(), StandardScaler(), KNeighborsClassifier(9)), "kneighborsclassifier"),
}


def fitted(make: Callable[[], Any], rows: Any, outcome: Any = None) -> Any:
    X = rows[COLUMNS]
    model = make()
    steps = getattr(model, "steps", None)
    if not (steps and isinstance(steps[0][1], ColumnTransformer)):
        X = X.drop(columns=["pattern_type", "timeframe"])
    X = X.loc[:, X.notna().any()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(X, rows["outcome"] if outcome is None else outcome)


def expected(model: Any, rows: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        p = model.predict_proba(rows[list(model.feature_names_in_)])
    return p[:, list(model.classes_).index("positive")]


def versions(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        return [one.version for one in list_models(connection)]


BOOSTERS = {"xgboost": "XGBClassifier", "lightgbm": "LGBMClassifier"}


@pytest.mark.slow
@pytest.mark.parametrize("steps", [(), (StandardScaler,)])
@pytest.mark.parametrize("library", BOOSTERS)
def test_boosting_libraries_take_the_same_way(library: str, steps: tuple[type, ...], stocked: str, rows: Any) -> None:
    """Alone and in a pipeline, with NaN; XGBoost knows classes by number only."""
    booster = getattr(pytest.importorskip(library), BOOSTERS[library])(n_estimators=5, n_jobs=1)
    model = make_pipeline(*(step() for step in steps), booster) if steps else booster
    fitted(lambda: model, rows, (rows["outcome"] == "positive").astype(int))
    found = training.publish(model, f"{library}-{len(steps)}", url=stocked, rows=rows)
    assert found.parity.max_abs_diff <= PARITY_TOLERANCE


@pytest.mark.parametrize("name", SERVED)
def test_a_pipeline_is_published_and_answers_raw_rows_as_itself(name: str, stocked: str, rows: Any) -> None:
    model = fitted(SERVED[name], rows)
    version = "zoo-" + "".join(c for c in name if c.isalnum())
    found = training.publish(model, version, url=stocked, rows=rows)
    assert found.promotable
    assert not found.notes
    assert found.parity.max_abs_diff <= PARITY_TOLERANCE
    with psycopg.connect(stocked, autocommit=True) as connection:
        session, dataset = open_session(read_file(connection, version)), load_dataset(connection)
    served = answer(session, dataset.inputs)
    np.testing.assert_allclose(served["ml_confidence"], expected(model, rows), atol=PARITY_TOLERANCE)


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_convert_is_refused_by_the_steps_name(name: str, stocked: str, rows: Any) -> None:
    make, step = REFUSED[name]
    with pytest.raises((NotConvertible, ParityFailed), match=f"{step} "):
        training.publish(fitted(make, rows), "refused-1", url=stocked)
    assert "refused-1" not in versions(stocked)


def test_published_from_labelled_rows_measured_and_served(database: str, connection: Connection, rows: Any) -> None:
    """From the fit to a scored row, with evidence from rows that were not fitted on."""
    insert_labelled(connection)
    own = training.load_labelled(connection)
    assert list(own.columns[: len(training.FEATURES)]) == training.FEATURES == list(FEATURE_NAMES)
    half = own.iloc[: len(own) // 2]
    model = fitted(SERVED["scaler, logistic"], half)
    until = half["detected_at"].iloc[-1]
    found = training.publish(model, "mine", connection=connection, rows=own, fitted_until=until, metrics={"auc": 0.6})
    assert found.metrics["fitted_until"] == until.timestamp()
    assert found.metrics["given"] == {"auc": 0.6}
    assert 50 < found.metrics["measured_on"]["rows"] < len(own) - len(half)
    assert found.metrics["measured_on"]["from"] > half["horizon_at"].max().timestamp()
    figure = found.metrics["ml"]["brier"]["value"]
    unseen = own[own["detected_at"].astype("int64") // 10**9 >= 0].iloc[-found.metrics["measured_on"]["rows"] :]
    assert figure == pytest.approx(
        np.mean((expected(model, unseen) - (unseen["outcome"] == "positive")) ** 2), abs=1e-6
    )
    assert "gate parity: passed" in str(found)
    assert found.gates[0].gate == "parity"
    connection.execute("select ml.promote('mine', 'test')")
    connection.execute(
        "insert into pattern_events (symbol, timeframe, pattern_type, detected_at, entry, stoploss, target, confidence)"
        "select symbol, timeframe, pattern_type, detected_at, entry, stoploss, target, 0.5 from pattern_events "
        "order by detected_at desc limit 20"
    )
    with psycopg.connect(database, autocommit=True) as served:
        engine = Engine(served)
        engine.refresh_model()
        wait_until(lambda: engine.score_queue().done == 0, "an empty queue")
    scores = connection.execute(
        "select p.ml_confidence, o.id::text from pattern_events p join pattern_events o using (detected_at) "
        "where p.model_version = 'mine' and o.model_version is null"
    ).fetchall()
    assert len(scores) == 20
    by_id = dict(zip(own.index, expected(model, own), strict=True))
    for confidence, pattern in scores:
        # The database rounds neither; rule_confidence differs where it is a feature.
        assert confidence == pytest.approx(by_id[pattern], abs=1e-4)


@pytest.mark.parametrize(
    ("labels", "positive", "places"),
    [
        (["negative", "neutral", "positive"], None, (0, 1, 2)),
        ([0, 1, 2], None, (0, 1, 2)),
        ([False, True], None, (0, 2)),
        ([0, 1], None, (0, 2)),
        (["neutral", "positive"], None, (1, 2)),
        (["loss", "win"], "win", (0, 2)),
    ],
)
def test_classes_have_their_places(labels: list[Any], positive: Any, places: tuple[int, ...]) -> None:
    model = GaussianNB().fit(np.arange(len(labels))[:, None], np.array(labels))
    assert answers.classes_of(model, positive).places == places
    p = answers.classes_of(model, positive).probabilities(np.full((2, len(labels)), 1 / len(labels)), np)
    assert p.shape == (2, 3)
    np.testing.assert_allclose(p.sum(axis=1), 1)


@pytest.mark.parametrize("labels", [["loss", "win"], [0, 2], [1, 2], [1, 2, 3], ["a", "b", "c", "d"]])
def test_classes_that_could_mean_anything_are_refused(labels: list[Any]) -> None:
    model = GaussianNB().fit(np.arange(len(labels))[:, None], np.array(labels))
    with pytest.raises(NotPublishable, match="positive"):
        answers.classes_of(model)


def unusable(rows: Any) -> dict[str, tuple[Any, dict[str, Any], str]]:
    X, y = rows[FILLED], rows["outcome"]
    plain = GaussianNB().fit(X.fillna(0), y)
    return {
        "unfitted": (make_pipeline(impute(), logistic()), {}, "not a fitted"),
        "a class": (LogisticRegression, {}, "fitted object"),
        "no probabilities": (LinearSVC().fit(X.fillna(0), y), {}, "predict_proba"),
        "unknown column": (GaussianNB().fit(X.fillna(0).rename(columns={"rsi_14": "rsi14"}), y), {}, "rsi_14"),
        "NaN": (plain, {}, "SimpleImputer"),
        "array": (GaussianNB().fit(X.fillna(0).to_numpy(), y), {}, "feature_names"),
        "widths": (GaussianNB().fit(X.fillna(0).to_numpy(), y), {"feature_names": FILLED[:2]}, "2 names"),
        "bars": (plain, {"min_bars": 0}, "min_bars"),
        "figures": (plain, {"metrics": {"auc": float("nan")}}, "JSON"),
        "a name": (plain, {"name": "a b"}, "version"),
        "half a window": (plain, {"fitted_from": datetime(2024, 1, 1, tzinfo=UTC)}, "fitted_until"),
        "others' rows": (plain, {"rows": rows.reset_index()}, "index"),
    }


@pytest.mark.parametrize(
    "case",
    [
        "unfitted", "a class", "no probabilities", "unknown column", "NaN", "array", "widths",
        "bars",
        "figures",
        "a name",
        "half a window", "others' rows",
    ],
)  # fmt: skip
def test_what_cannot_be_published_is_said_plainly(case: str, stocked: str, rows: Any) -> None:
    model, options, said = unusable(rows)[case]
    with pytest.raises(NotPublishable, match=said):
        training.publish(model, **{"name": "unusable", "url": stocked, **options})
    assert "unusable" not in versions(stocked)


def test_an_array_is_published_by_the_names_of_its_columns(stocked: str, rows: Any) -> None:
    names = [*reversed(FILLED[:4]), "hour_sin"]
    X = rows[names].to_numpy()
    model = make_pipeline(impute(), logistic()).fit(X, rows["outcome"] == "positive")
    found = training.publish(model, "array", url=stocked, feature_names=names, rows=X)
    assert found.columns == tuple(names)
    again = training.publish(model, "array", url=stocked, feature_names=names)
    assert again.sha256 == found.sha256
    other = make_pipeline(impute(), logistic()).fit(X[::2], rows["outcome"][::2] == "positive")
    with pytest.raises(InvalidModel, match="array"):
        training.publish(other, "array", url=stocked, feature_names=names)


def test_rows_that_the_model_would_compute_otherwise_are_noted(stocked: str, rows: Any) -> None:
    model = make_pipeline(impute(), logistic()).fit(rows[FILLED], rows["outcome"])
    found = training.publish(model, "noted", url=stocked, rows=rows.assign(rsi_14=rows["rsi_14"] + 1))
    assert "rsi_14" in found.notes[0]


def test_without_a_labelled_row_golden_rows_are_made_up(database: str, rows: Any) -> None:
    model = make_pipeline(impute(), logistic()).fit(rows[FILLED], rows["outcome"])
    found = training.publish(model, "unseen", url=database, fitted_until=datetime(2024, 1, 1, tzinfo=UTC))
    assert found.parity.rows == 5
    assert found.notes
    assert "measured_on" not in found.metrics


def test_a_publisher_needs_no_other_role(stocked: str, rows: Any) -> None:
    model = make_pipeline(impute(), logistic()).fit(rows[FILLED[:4]], rows["outcome"])
    with psycopg.connect(stocked) as connection:
        connection.execute("set role ml_publisher")
        connection.commit()
        own = training.load_labelled(connection)
        assert training.publish(model, "by-publisher", connection=connection, rows=own).gates


def test_rounding_keeps_what_matters_and_loses_the_last_bits() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=10_000) * 10.0 ** rng.integers(-2, 6, 10_000)
    once = rounded(values, np)
    np.testing.assert_allclose(once, values, rtol=2.0**-18, atol=2.0**-25)
    np.testing.assert_array_equal(rounded(once * (1 + 2.0**-50), np), once)
    np.testing.assert_array_equal(once.astype(np.float32), once)
    np.testing.assert_array_equal(rounded(np.array([np.nan, 1e-17]), np), [np.nan, 0.0])


def test_columns_keep_the_classifiers_order(rows: Any) -> None:
    columns = columns_of(GaussianNB().fit(rows[["rsi_14", "roc_10"]].fillna(0), rows["outcome"]))
    assert columns.own_order == [0, 1]
    columns = columns_of(GaussianNB().fit(rows[["roc_10", "rsi_14"]].fillna(0), rows["outcome"]))
    assert columns.features == ("rsi_14", "roc_10")
    assert columns.own_order == [1, 0]
