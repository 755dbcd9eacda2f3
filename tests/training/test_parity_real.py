"""The exported graph against NumPy, scikit-learn, XGBoost and LightGBM, over every real row of the demo's market.

No database, so nothing but the market's own oddities is under test.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from db_functions.contract import PARITY_TOLERANCE
from db_functions.golden import largest_difference
from db_functions.model import open_session
from demo.market import CLOSE
from tests.real_rows import real_rows
from training.calibrate import Calibration
from training.dataset import Dataset
from training.export import FittedModel, export
from training.features import INPUT_NAMES
from training.features.graph import to_model
from training.learners import DEFAULT, LEARNERS, Combine, FittedEnsemble, fit_ensemble
from training.pipeline import compute_features

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
    session = open_session(to_model().SerializeToString())
    (given,) = session.run(["features"], {name: rows.inputs[name] for name in INPUT_NAMES})
    np.testing.assert_array_equal(np.isnan(given), np.isnan(features))
    # NaN on both sides is no difference; some features have no value in any row here.
    worst = np.nan_to_num(np.abs(given - features) / np.maximum(1, np.abs(features))).max(axis=0)
    print(f"{len(rows):,} rows: {np.sum(worst == 0)} of {len(worst)} features equal, the others to {worst.max():.1e}")
    assert worst.max() <= FEATURE_TOLERANCE


@pytest.fixture(scope="module")
def fitted(rows: Dataset, features: Floats) -> FittedEnsemble:
    """Every learner, fitted on the earlier half."""
    earlier = slice(0, len(rows) // 2)
    return fit_ensemble(features[earlier], rows.outcome[earlier], list(LEARNERS), seed=1, size=SIZE)


@pytest.mark.parametrize(
    ("names", "combine"),
    [*(((name,), "vote") for name in LEARNERS), (DEFAULT, "vote"), (tuple(LEARNERS), "vote"), (DEFAULT, "stack")],
)
def test_the_graphs_probabilities_are_the_libraries(
    rows: Dataset, features: Floats, fitted: FittedEnsemble, names: tuple[str, ...], combine: Combine
) -> None:
    members = tuple(member for member in fitted.members if member.name in names)
    ensemble = replace(fitted, members=members, combine=combine)
    # A fitted calibration would all but flatten answers to rows like these, and any difference with them.
    slopes = (3.0, 1.0, 3.0) * (len(members) if combine == "stack" else 1)
    model = FittedModel(ensemble, Calibration(slopes, (0.0, 0.0, 0.0)))
    session = open_session(export(model).onnx)
    outputs = [item.name for item in session.get_outputs()]
    given = session.run(outputs, {item.name: rows.inputs[item.name] for item in session.get_inputs()})
    expected = model.answer_from(features)
    for name, answer in zip(outputs, given, strict=True):
        found = largest_difference({name: expected[name]}, {name: answer})
        print(f"{'+'.join(names)} ({combine}), {len(rows):,} rows: {name} differs by at most {found.amount:.1e}")
        assert found.amount <= PARITY_TOLERANCE
    # Answers that hardly differ from each other would agree whatever the graph does.
    assert expected["ml_confidence"].std() > 0.02
