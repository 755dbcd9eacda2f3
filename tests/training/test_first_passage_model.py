"""The model that needs no labels: made from nothing, shipped, registered, and serving from the first insert."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest

from db_functions import contract, shipped
from db_functions.contract import CLASSES, PARITY_TOLERANCE, Arrays, quality, read_training, unanswered
from db_functions.database import Connection
from db_functions.errors import InvalidModel
from db_functions.golden import Golden, largest_difference
from db_functions.model import open_session
from tests.features_rows import real_rows, with_holes
from tests.support import at, insert_bars, insert_pattern, row_of, wait_until
from tests.training_support import small_artifact, small_dataset
from tests.worker_support import working
from training import cli, first_passage
from training.check import require_valid
from training.features import FEATURE_NAMES, FIRST_PASSAGE_NAMES, compute
from training.registry import register_file

MODEL = shipped.first_passage()


def answers(inputs: Arrays, size: int | None = None) -> dict[str, np.ndarray]:
    """By the shipped file, ``size`` rows at a time."""
    session = open_session(MODEL.onnx)
    count = len(inputs["bars"])
    parts = [
        session.run(MODEL.outputs, {name: inputs[name][start : start + (size or count)] for name in MODEL.inputs})
        for start in range(0, count, size or count)
    ]
    return {name: np.concatenate(values) for name, values in zip(MODEL.outputs, zip(*parts, strict=True), strict=True)}


def test_shipped_files_are_what_the_code_makes() -> None:
    """After a change: ``python -m training.first_passage``."""
    made = first_passage.make()
    assert MODEL.onnx == made.onnx
    assert MODEL.model_card == made.model_card
    there, expected = Golden.from_bytes(MODEL.golden), Golden.from_bytes(made.golden)
    assert there.inputs.keys() == expected.inputs.keys() == set(MODEL.inputs)
    assert largest_difference(expected.inputs, there.inputs).amount == 0.0
    assert largest_difference(expected.outputs, there.outputs).amount < 1e-6
    assert (MODEL.version, MODEL.inputs, MODEL.outputs) == (made.version, made.inputs, made.outputs)
    assert (MODEL.feature_names, MODEL.min_bars, MODEL.metrics) == (made.feature_names, made.min_bars, made.metrics)
    assert MODEL.metrics == {"label_horizon": 20}


def test_shipped_file_answers_its_golden_rows_which_have_every_kind() -> None:
    golden = Golden.from_bytes(MODEL.golden)
    assert largest_difference(golden.outputs, answers(golden.inputs)).amount < PARITY_TOLERANCE
    known = ~np.isnan(golden.outputs["features"]).any(axis=1)
    assert 0 < (~known).sum() < len(golden) / 2
    assert np.isnan(golden.inputs["bars"][known, 0, 0]).any()
    assert np.isnan(golden.inputs["levels"][known][:, [2, 4]]).any(axis=0).all()
    assert (golden.outputs["probabilities"][known].max(axis=0) > 0.8).all()
    assert (golden.outputs["features"][known][:, 3:5].max(axis=0) > 0.999).all(), "a level that is passed"


def test_answers_are_the_corrected_three_in_the_order_of_the_contract() -> None:
    rows = with_holes(real_rows(300, seed=1), seed=2)
    given = answers(rows)
    features = compute(rows, np, 20)
    named = {name: features[:, FEATURE_NAMES.index(name)] for name in FIRST_PASSAGE_NAMES}
    assert CLASSES == ("negative", "neutral", "positive")
    expected = np.stack([named[f"first_passage_{end}"] for end in ("stop", "neither", "target")], axis=1)
    known = ~np.isnan(expected).any(axis=1)
    assert 50 < known.sum() < 300
    np.testing.assert_allclose(given["probabilities"][known], expected[known], atol=1e-7)
    np.testing.assert_array_equal(given["probabilities"][:, 2], given["ml_confidence"])
    np.testing.assert_allclose(first_passage.plain_target(rows, 20), named["first_passage_target_plain"])


def test_a_row_without_a_label_is_answered_with_nothing() -> None:
    rows = real_rows(100, seed=3)
    rows["bars"][::10, :, :4] = 50.0
    given = answers(rows)
    unknown = np.isnan(given["features"]).any(axis=1)
    assert unknown[rows["direction"] == 0].all()
    assert unknown[::10].all(), "no price has moved"
    assert 20 < unknown.sum() < 80
    np.testing.assert_array_equal(unanswered(given), unknown)
    for values in given.values():
        assert np.isnan(values[unknown]).all()
        assert np.isfinite(values[~unknown]).all()
    assert set(quality(given, rows)[unknown]) == {0.0}
    assert set(quality(given, rows)[~unknown]) == {1.0}


@pytest.mark.parametrize("size", [1, 2, 3, 64, 255])
def test_scores_have_the_same_bits_at_every_batch_size(size: int) -> None:
    rows = with_holes(real_rows(256, seed=4), seed=5)
    whole, parts = answers(rows), answers(rows, size)
    for name, values in whole.items():
        np.testing.assert_array_equal(values.view(np.int32), parts[name].view(np.int32))


def test_another_horizon_is_another_model() -> None:
    five = first_passage.make(5)
    assert five.version != MODEL.version
    metadata = open_session(five.onnx).get_modelmeta().custom_metadata_map
    assert read_training(metadata) == {"label_horizon": 5}


def is_scored(connection: Connection, pattern: str) -> bool:
    return bool(row_of(connection, pattern)["ml_metadata"]["reason"] != "pending")


@pytest.mark.parametrize("bars", [0, 200])
def test_first_row_gets_a_probability_without_a_single_label(
    connection: Connection,
    database: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    bars: int,
) -> None:
    monkeypatch.setenv("DATABASE_URL", database)
    if bars:
        insert_bars(connection)
    connection.execute("select ml.set('label_horizon', 10, 'test'), ml.set('threshold', 0, 'test')")
    assert cli.main(["train", "--models", "first_passage", "--promote", "--quiet"]) == 0
    said = capsys.readouterr().out
    kept = connection.execute("select version, metrics from ml.models").fetchone()
    assert kept is not None
    version, metrics = kept
    assert metrics == {"label_horizon": 10}
    assert f"promoted {version}: it is the champion now" in said
    if not bars:
        return
    with working(database):
        scored = insert_pattern(connection, entry=None, target=None, stoploss=None, direction=1, detected_at=at(150))
        aimless = insert_pattern(connection, direction=0, detected_at=at(150))
        early = insert_pattern(connection, detected_at=at(10))
        for pattern in (scored, aimless, early):
            wait_until(partial(is_scored, connection, pattern), "it is scored")
    row = row_of(connection, scored)
    assert (row["model_version"], row["ml_metadata"]["source"]) == (version, "blend")
    assert 0 < row["ml_confidence"] < 1
    assert row["ml_metadata"]["quality"] == 1
    for pattern, reason in ((aimless, "low_quality"), (early, "insufficient_bars")):
        row = row_of(connection, pattern)
        assert (row["ml_metadata"]["reason"], row["confidence"]) == (reason, 0.7)


@pytest.mark.parametrize(
    "more", [["logistic"], ["--tune", "3"], ["--since", "2020-01-01"], ["--candidate", "ridge"], ["--no-refit"]]
)
def test_it_learns_from_nothing_and_so_refuses_what_is_for_learning(
    more: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["train", "--models", "first_passage", *more]) == 1
    assert f"error: first_passage learns from nothing, so it goes without {more[0]}" in capsys.readouterr().err


# -- what every model states of itself -------------------------------------------------------------------------------


def test_a_trained_model_states_its_horizon_and_fit_window() -> None:
    artifact, dataset = small_artifact(), small_dataset()
    stated = read_training(open_session(artifact.onnx).get_modelmeta().custom_metadata_map)
    assert stated["label_horizon"] == dataset.horizon == 20
    assert dataset.detected_at[0] == stated["fitted_from"] < stated["fitted_until"]
    assert stated["fitted_until"] < artifact.metrics["trained"]["test_from"]
    assert stated.items() <= artifact.metrics.items()


@pytest.mark.slow
def test_a_registered_file_keeps_what_it_states(connection: Connection, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(small_artifact().onnx)
    version = register_file(connection, path)
    kept = connection.execute("select metrics from ml.models where version = %s", [version]).fetchone()
    assert kept is not None
    assert kept[0] == {
        name: small_artifact().metrics[name] for name in ("label_horizon", "fitted_from", "fitted_until")
    }


@pytest.mark.parametrize(
    ("metadata", "wrong"),
    [
        ({"label_horizon": "0"}, "from 1 to 1000, not '0'"),
        ({"label_horizon": "1001"}, "from 1 to 1000"),
        ({"label_horizon": "2.5"}, "'2.5'"),
        ({"label_horizon": "٣"}, "'٣'"),
        ({"fitted_from": "5"}, "stated together"),
        ({"fitted_until": "5"}, "stated together"),
        ({"fitted_from": "6", "fitted_until": "5"}, "is after"),
        ({"fitted_from": "-99999999999", "fitted_until": "999999999999"}, "'fitted_from' must be a whole number"),
    ],
)
def test_what_a_file_states_must_make_sense(metadata: dict[str, str], wrong: str) -> None:
    with pytest.raises(ValueError, match=r"label_horizon|fitted") as raised:
        read_training(metadata)
    assert wrong in str(raised.value)


def test_a_file_that_states_nonsense_is_not_registered() -> None:
    model = onnx.load_model_from_string(MODEL.onnx)
    for item in model.metadata_props:
        if item.key == contract.META_LABEL_HORIZON:
            item.value = "never"
    with pytest.raises(InvalidModel, match="'label_horizon' must be a whole number from 1 to 1000, not 'never'"):
        require_valid(model.SerializeToString())


def test_defaults_are_those_of_the_settings(transaction: Connection) -> None:
    row = transaction.execute("select label_horizon from ml.settings").fetchone()
    assert row == (contract.DEFAULT_HORIZON,)
    assert MODEL.metrics == {"label_horizon": contract.DEFAULT_HORIZON}
