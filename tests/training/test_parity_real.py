"""The exported graph against NumPy, scikit-learn, XGBoost and LightGBM, over every real row of the demo's market.

No database, so nothing but the market's own oddities is under test.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from db_functions.contract import DEFAULT_HORIZON, PARITY_TOLERANCE
from db_functions.golden import largest_difference
from db_functions.model import open_session
from demo.market import CLOSE
from tests.real_rows import real_rows
from training.candidates import fit_simple
from training.correction import CANDIDATES, TARGET, Ensemble, Fitted, Rows
from training.dataset import Dataset
from training.estimation import fit_ensemble
from training.export import FittedModel, export, to_float32
from training.features import INPUT_NAMES
from training.features.graph import to_model
from training.learners import FittedEnsemble, Recipe
from training.prepare import compute_features
from training.regressors import DEFAULT, LEARNERS

pytestmark = pytest.mark.slow

LEAST_ROWS = 5_000
FEATURE_TOLERANCE = 1e-12
SIZE = 0.15
"""Of the trees that training fits."""

Floats = NDArray[np.float64]


@pytest.fixture(scope="module")
def rows() -> Dataset:
    return real_rows()


@pytest.fixture(scope="module")
def features(rows: Dataset) -> Floats:
    return compute_features(rows)


def test_the_rows_are_many_and_have_every_kind_of_hole(rows: Dataset) -> None:
    counts = {
        "rows": len(rows),
        "short histories": int(np.isnan(rows.inputs["bars"][:, 0, CLOSE]).sum()),
        "a level missing": int(np.isnan(rows.inputs["levels"]).any(axis=1).sum()),
        "no level at all": int(np.isnan(rows.inputs["levels"]).all(axis=1).sum()),
        "no rule confidence": int(np.isnan(rows.inputs["rule_confidence"]).sum()),
    }
    print(", ".join(f"{name} {count:,}" for name, count in counts.items()))
    assert counts["rows"] >= LEAST_ROWS
    assert min(counts.values()) >= 500


def test_the_graphs_features_are_numpys(rows: Dataset, features: Floats) -> None:
    session = open_session(to_model(DEFAULT_HORIZON).SerializeToString())
    (given,) = session.run(["features"], {name: rows.inputs[name] for name in INPUT_NAMES})
    np.testing.assert_array_equal(np.isnan(given), np.isnan(features))
    # NaN on both sides is no difference; some features have no value in any row here.
    worst = np.nan_to_num(np.abs(given - features) / np.maximum(1, np.abs(features))).max(axis=0)
    print(f"{len(rows):,} rows: {np.sum(worst == 0)} of {len(worst)} features equal, the others to {worst.max():.1e}")
    assert worst.max() <= FEATURE_TOLERANCE


@pytest.fixture(scope="module")
def known(rows: Dataset, features: Floats) -> Rows:
    """The earlier half, where first passage is defined."""
    earlier = np.flatnonzero(np.isfinite(features[: len(rows) // 2, TARGET]))
    return Rows(to_float32(features[earlier]).astype(np.float64), rows.outcome[earlier], 1.0)


@pytest.fixture(scope="module")
def fitted(known: Rows) -> FittedEnsemble:
    """Every learner."""
    return fit_ensemble(known, Recipe(tuple(LEARNERS), seed=1, size=SIZE))


@pytest.mark.parametrize("names", [*((name,) for name in LEARNERS), DEFAULT, tuple(LEARNERS), *CANDIDATES[:-1]])
def test_the_graphs_probabilities_are_the_libraries(
    rows: Dataset, features: Floats, known: Rows, fitted: FittedEnsemble, names: tuple[str, ...] | str
) -> None:
    if isinstance(names, str):
        model = FittedModel(fit_simple(known, (names,))[names], DEFAULT_HORIZON)
    else:
        ensemble = replace(fitted, members=tuple(member for member in fitted.members if member.name in names))
        # A fitted slope would all but flatten the correction of rows like these, and any difference with it.
        model = FittedModel(Fitted(Ensemble(ensemble, 3.0)), DEFAULT_HORIZON)
    session = open_session(export(model).onnx)
    outputs = [item.name for item in session.get_outputs()]
    given = session.run(outputs, {item.name: rows.inputs[item.name] for item in session.get_inputs()})
    expected = model.answer_from(model.own(features))
    for name, answer in zip(outputs, given, strict=True):
        found = largest_difference({name: expected[name]}, {name: answer})
        print(f"{names}, {len(rows):,} rows: {name} differs by at most {found.amount:.1e}")
        assert found.amount <= PARITY_TOLERANCE
    # Answers that hardly differ from each other would agree whatever the graph does.
    assert np.nanstd(expected["ml_confidence"]) > 0.02
