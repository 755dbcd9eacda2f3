"""One file that answers as the fitted model: parity holds, and fails when the file is touched."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper
from skl2onnx import update_registered_converter
from skl2onnx.common.shape_calculator import calculate_linear_regressor_output_shapes
from skl2onnx.operator_converters.linear_regressor import convert_sklearn_linear_regressor as convert_linear
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import LinearRegression

from db_functions.contract import INPUTS, PARITY_TOLERANCE
from db_functions.golden import Difference, Golden, largest_difference
from db_functions.model import open_session
from tests.conftest import ROOT
from tests.training_support import (
    HORIZON,
    SMALL,
    fit_small,
    learner_case,
    small_candidate,
    small_dataset,
    small_export,
    small_features,
    small_model,
    small_rows,
)
from training import learners
from training.attribution.background import decode
from training.convert import convert
from training.correction import CANDIDATES
from training.errors import LearnerNotInstalled, NotConvertible, ParityFailed, UnknownLearner
from training.export import FittedModel, export
from training.features import FEATURE_NAMES, FIRST_PASSAGE_NAMES, MIN_BARS
from training.learners import FittedEnsemble, Member, Recipe, fit_grid
from training.pipeline import train
from training.regressors import DEFAULT, LEARNERS
from training.verify import GOLDEN_ROWS, check_parity, choose_rows, golden_rows


def _golden(model: FittedModel, rows: int = 400) -> Golden:
    return golden_rows(model, small_dataset().take(choose_rows(small_dataset(), rows)).inputs)


@pytest.mark.parametrize("models", [*(learner_case((name,)) for name in LEARNERS), DEFAULT])
def test_the_file_answers_as_the_fitted_model(models: tuple[str, ...]) -> None:
    model = small_model(models)
    report = check_parity(small_export(models).onnx, _golden(model), batch_sizes=(1, 7, 400))
    assert report.max_abs_diff <= PARITY_TOLERANCE
    assert (report.rows, report.batch_sizes) == (400, (1, 7, 400))


@pytest.mark.parametrize("candidate", CANDIDATES[:-1])
def test_the_simpler_candidates_files_answer_as_they_do_and_alike_at_every_batch_size(candidate: str) -> None:
    model = small_candidate(candidate)
    data = export(model).onnx
    assert check_parity(data, _golden(model), batch_sizes=(1, 7, 400)).max_abs_diff <= PARITY_TOLERANCE
    _require_equal_bits(data)


def test_first_passage_alone_shows_what_it_is_made_of_and_reads_no_more() -> None:
    exported = export(small_candidate("first_passage"))
    assert exported.version.startswith("first_passage-")
    assert exported.inputs == ("bars", "levels", "direction")
    session = open_session(exported.onnx)
    inputs = {item.name: small_dataset().inputs[item.name] for item in session.get_inputs()}
    features, probabilities = session.run(["features", "probabilities"], inputs)
    assert features.shape[1] == len(FIRST_PASSAGE_NAMES) == 6
    # Negative, neutral, positive: stop, neither, target.
    np.testing.assert_array_equal(probabilities, features[:, [1, 2, 0]])


def test_a_row_without_a_direction_goes_unanswered() -> None:
    inputs = {name: values[:4].copy() for name, values in small_dataset().inputs.items()}
    inputs["direction"][2] = 0.0
    session = open_session(small_export().onnx)
    (given,) = session.run(["probabilities"], {item.name: inputs[item.name] for item in session.get_inputs()})
    np.testing.assert_array_equal(np.isnan(given).all(axis=1), [False, False, True, False])
    np.testing.assert_array_equal(np.isnan(small_model().answer(inputs)["probabilities"]), np.isnan(given))


@pytest.mark.parametrize("models", [learner_case((name,)) for name in LEARNERS])
def test_a_row_is_scored_alike_to_the_bit_at_every_batch_size(models: tuple[str, ...]) -> None:
    _require_equal_bits(small_export(models).onnx)


def _require_equal_bits(data: bytes) -> None:
    session = open_session(data)
    inputs = {item.name: small_dataset().inputs[item.name][:300] for item in session.get_inputs()}
    (together,) = session.run(["probabilities"], inputs)
    for size in (1, 7, 64):
        parts = [
            session.run(["probabilities"], {name: values[start : start + size] for name, values in inputs.items()})[0]
            for start in range(0, 300, size)
        ]
        np.testing.assert_array_equal(np.concatenate(parts), together)


@pytest.mark.parametrize("lacking", [0, 1, 2])
def test_a_class_missing_from_training_leaves_three_columns(lacking: int) -> None:
    outcome = small_dataset().outcome.copy()
    outcome[outcome == lacking] = 0 if lacking == 2 else 2
    model = fit_small(outcome)
    answer = model.answer(small_dataset().inputs)["probabilities"]
    assert answer.shape == (len(small_dataset()), 3)
    np.testing.assert_allclose(answer.sum(axis=1), 1, atol=1e-6)
    # Of a pull to first passage 1,200 rows undo a part.
    assert answer[:, lacking].mean() < small_model().answer(small_dataset().inputs)["probabilities"][:, lacking].mean()
    check_parity(export(model).onnx, _golden(model))


def _fit(features: NDArray[np.float64]) -> FittedEnsemble:
    target, weight = small_rows().newton()
    return Recipe(DEFAULT, seed=1, size=SMALL).fit(features, target, weight)


def test_a_feature_never_seen_is_ignored() -> None:
    features = small_features().copy()
    features[:, 4] = np.nan
    ensemble = _fit(features)
    unseen = ensemble.correction(features)
    assert np.isfinite(unseen).all()
    features[:, 4] = 1e30
    np.testing.assert_array_equal(ensemble.correction(features), unseen)


def test_wild_and_infinite_values_are_held_within_the_limits() -> None:
    ensemble = _fit(small_features())
    features = small_features()[:50].copy()
    features[:, 0], features[:, 1] = np.inf, -1e300
    held = features.copy()
    held[:, 0], held[:, 1] = ensemble.grid.high[0, 0], ensemble.grid.low[0, 1]
    np.testing.assert_array_equal(ensemble.correction(features), ensemble.correction(held))


def test_the_grid_takes_away_rounding_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    features = np.stack([rng.normal(0, 1, 5_000), rng.normal(0, 1e-15, 5_000), np.full(5_000, 1 / 3)], axis=1)
    grid = fit_grid(features)
    placed = grid.place(features, np)
    # Differences as large as those between NumPy and ONNX Runtime.
    np.testing.assert_array_equal(grid.place(features * (1 + 2e-16) + 1e-16, np), placed)
    assert (placed[:, 1] == 0).all()
    np.testing.assert_allclose(placed[:, 0], np.clip(features[:, 0], grid.low[0, 0], grid.high[0, 0]), atol=1e-5)
    middle = (placed[:, 0].astype(np.float64) + np.sort(placed[:, 0])) / 2
    np.testing.assert_array_equal(middle.astype(np.float32), middle)


def test_an_unknown_learner_is_named() -> None:
    with pytest.raises(UnknownLearner, match=r"no learner oracle; choose from random_forest"):
        train(small_dataset(), ["logistic", "oracle"])


def _tampered(data: bytes, what: str) -> bytes:
    model = onnx.load_model_from_string(data)
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == {"leaf": "target_weights"}.get(what):
                attribute.floats[:] = [value + 0.2 for value in attribute.floats]
                return bytes(model.SerializeToString())
    for node in model.graph.node if what == "slope" else ():
        if node.op_type == "Constant" and numpy_helper.to_array(node.attribute[0].t).tolist() == 0.8:
            node.attribute[0].t.CopyFrom(numpy_helper.from_array(np.array(0.9)))
            return bytes(model.SerializeToString())
    raise AssertionError(f"found no {what} to change")


@pytest.mark.parametrize("what", ["leaf", "slope"])
def test_a_file_that_was_touched_fails_the_gate(what: str) -> None:
    model = small_model()
    data = small_export().onnx
    check_parity(data, _golden(model))
    with pytest.raises(ParityFailed, match=r"output '(ml_confidence|probabilities)', golden row \d+, batch of \d+"):
        check_parity(_tampered(data, what), _golden(model))


def test_the_gate_names_the_worst_row_and_output() -> None:
    model = small_model()
    golden = _golden(model, 20)
    golden.outputs["features"][13, 2] = 5e5
    with pytest.raises(ParityFailed, match=r"output 'features', golden row 13, batch of 20"):
        check_parity(small_export().onnx, golden, batch_sizes=(20,))


@pytest.mark.parametrize("models", [learner_case((name,)) for name in LEARNERS])
def test_equal_fits_give_equal_bytes(models: tuple[str, ...]) -> None:
    first, second = export(fit_small(models=models)), export(fit_small(models=models))
    assert first.sha256 == second.sha256
    assert first.version == second.version


class _Shifted(LinearRegression):  # type: ignore[misc]
    """Converts without a word, and wrong: what it adds afterwards the converter does not know of."""

    def predict(self, rows: Any) -> Any:
        return super().predict(rows) + 0.01


def _shifted(seed: int, size: float, rows: int) -> Any:
    return _Shifted()


class _Unknown(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """A regressor that no converter has heard of."""


def test_a_learner_that_does_not_convert_faithfully_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learners, "LEARNERS", {**LEARNERS, "shifted": _shifted})
    update_registered_converter(_Shifted, "Shifted", calculate_linear_regressor_output_shapes, convert_linear)
    with pytest.raises(ParityFailed, match=r"not registered \(alone, learner shifted by 0\.\d+\)"):
        train(small_dataset(), ["shifted"], candidate="ensemble", seed=3, size=SMALL)


def test_a_learner_without_a_converter_is_named() -> None:
    member = Member("mine", _Unknown())
    with pytest.raises(NotConvertible, match="learner mine cannot be converted to ONNX: "):
        convert(member, 4)


def test_a_learner_whose_library_is_missing_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xgboost", None)
    with pytest.raises(LearnerNotInstalled, match=r"pip install '\S+\[xgboost\]'"):
        fit_small(models=("xgboost",))


@pytest.mark.slow
def test_bytes_do_not_depend_on_the_process() -> None:
    """Hash seeds order sets, and the graph builder uses sets."""
    program = """
from tests.training_support import fit_small
from training.export import export
print(export(fit_small()).sha256)
"""
    found = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONHASHSEED": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=True,
        text=True,
    )
    assert found.stdout == small_export().sha256 + "\n"


def test_another_fit_gets_another_version() -> None:
    assert small_export(("random_forest",)).version.startswith("random_forest-")
    assert small_export().version.startswith("ensemble-")
    named = export(small_model(("logistic",)), version="mine")
    assert named.version == "mine"
    assert named.onnx != small_export(("logistic",)).onnx


def test_the_file_says_what_it_is() -> None:
    exported = small_export()
    model = onnx.load_model_from_string(exported.onnx)
    properties = {item.key: item.value for item in model.metadata_props}
    members = json.loads(properties.pop("members"))
    assert properties == {
        "contract_version": "1",
        "model_version": exported.version,
        "feature_names": json.dumps(list(FEATURE_NAMES)),
        "min_bars": str(MIN_BARS),
        "label_horizon": str(HORIZON),
    }
    assert list(members) == ["first_passage", *DEFAULT]
    assert {name for node in model.graph.node for name in node.output} >= set(members.values())
    rows = np.arange(2 * len(FEATURE_NAMES), dtype=np.float32).reshape(2, -1)
    explained = onnx.load_model_from_string(export(small_model(), background=rows).onnx)
    (kept,) = (item.value for item in explained.metadata_props if item.key == "background")
    np.testing.assert_array_equal(decode(kept, len(FEATURE_NAMES)), rows)
    assert {opset.domain for opset in model.opset_import} <= {"", "ai.onnx", "ai.onnx.ml"}
    assert list(exported.inputs) == [name for name in INPUTS if name in exported.inputs]
    shapes = {item.name: item.shape for item in open_session(exported.onnx).get_outputs()}
    assert shapes == {"ml_confidence": ["N"], "probabilities": ["N", 3], "features": ["N", len(FEATURE_NAMES)]}


def test_confidence_is_exactly_the_last_probability() -> None:
    session = open_session(small_export().onnx)
    inputs = {item.name: small_dataset().inputs[item.name] for item in session.get_inputs()}
    confidence, probabilities = session.run(["ml_confidence", "probabilities"], inputs)
    np.testing.assert_array_equal(confidence, probabilities[:, 2])


def test_golden_rows_come_back_as_they_were() -> None:
    golden = _golden(small_model(), 10)
    again = Golden.from_bytes(golden.to_bytes())
    assert len(again) == 10
    for part, other in ((golden.inputs, again.inputs), (golden.outputs, again.outputs)):
        assert part.keys() == other.keys()
        for name in part:
            assert other[name].dtype == part[name].dtype
            np.testing.assert_array_equal(other[name], part[name])


def test_golden_rows_are_read_without_running_code() -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (print, ("a pickle ran",))

    buffer = io.BytesIO()
    traps: dict[str, Any] = {"input.x": np.array([Trap()], dtype=object), "output.y": np.zeros(1)}
    np.savez(buffer, **traps)
    with pytest.raises(ValueError, match="not golden rows"):
        Golden.from_bytes(buffer.getvalue())
    with pytest.raises(ValueError, match="not golden rows"):
        Golden.from_bytes(b"nothing of the kind")


def test_golden_rows_have_every_kind_of_edge() -> None:
    chosen = small_dataset().take(choose_rows(small_dataset(), GOLDEN_ROWS)).inputs
    assert len(chosen["bars"]) == GOLDEN_ROWS
    assert np.isnan(chosen["bars"][:, 0, 0]).sum() >= 8
    assert np.isnan(chosen["levels"]).any(axis=1).sum() >= 8
    assert np.isnan(chosen["rule_confidence"]).sum() >= 8


def test_differences_count_nan_and_infinity() -> None:
    def between(a: list[float], b: list[float]) -> Difference:
        return largest_difference({"x": np.array(a)}, {"x": np.array(b)})

    assert between([np.nan, np.inf], [np.nan, np.inf]).amount == 0
    assert between([1.0, np.nan], [1.0, 2.0]) == Difference(np.inf, "x", 1)
    assert between([1.0, 2.0], [np.inf, 2.0]) == Difference(np.inf, "x", 0)
    assert between([1e6], [1e6 + 1]).amount == pytest.approx(1e-6)
    assert between([0.5], [0.25]).amount == 0.25
